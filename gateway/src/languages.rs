//! The one room for build-time choice: links the languages that Cargo features name.
//!
//! Without `coprocess` the null language is linked, so that the same code runs with another
//! content of the registry. Nothing else in the gateway knows a language's name.

cfg_if::cfg_if! {
    if #[cfg(not(feature = "coprocess"))] {
        use lang_dummy as _;
    } else if #[cfg(not(feature = "_language"))] {
        compile_error!(
            "feature `coprocess` needs a language beside it: `--features coprocess,python`, \
             `--features coprocess,lua`, or both"
        );
    } else {
        #[cfg(feature = "lua")]
        use lang_lua as _;
        #[cfg(feature = "python")]
        use lang_python as _;
    }
}
