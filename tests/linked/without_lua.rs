//! A binary without `lua`: APIs that ask for it are refused, with the build that would help.

without!("lua");
