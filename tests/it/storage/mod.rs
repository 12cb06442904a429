//! Where data is kept, without plugins: what an operator sees of it.

mod embedded;
mod killed;
mod redis;
