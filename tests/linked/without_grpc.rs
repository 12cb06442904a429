//! A binary without `grpc`: APIs that ask for it are refused, with the build that would help.

without!("grpc");
