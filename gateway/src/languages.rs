//! The one room for build-time choice: links the languages that Cargo features name.
//!
//! Without `coprocess` the null language is linked, so that the same code runs with another
//! content of the registry. Nothing else in the gateway knows a language's name.

/// Links each crate if its feature is chosen. A feature has the name of its language; so does
/// the crate, by the name that this package's manifest gives it.
macro_rules! languages {
    ($($feature:literal => $package:ident,)+) => {
        cfg_if::cfg_if! {
            if #[cfg(not(feature = "coprocess"))] {
                use lang_dummy as _;
            } else if #[cfg(not(any(feature = "external-language", $(feature = $feature),+)))] {
                compile_error!(concat!(
                    "feature `coprocess` needs a language beside it: one or more of",
                    $(" `--features coprocess,", $feature, "`"),+
                ));
            } else {
                $(
                    #[cfg(feature = $feature)]
                    use $package as _;
                )+
            }
        }
    };
}

languages! {
    "grpc" => grpc,
    "lua" => lua,
    "python" => python,
}
