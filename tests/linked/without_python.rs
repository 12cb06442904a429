//! A binary without `python`: APIs that ask for it are refused, with the build that would help.

without!("python");
