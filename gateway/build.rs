//! Link arguments of the executable: which C functions it exports, and where the libraries
//! lie that a language crate links. Nothing else.

use std::fs;

/// One exported symbol per line; generated with the C header.
const EXPORTS: &str = "../coprocess-core/include/exports.txt";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={EXPORTS}");
    // A language is linked only where plugins are on; without it nobody could call.
    if std::env::var_os("CARGO_FEATURE_COPROCESS").is_none() {
        return;
    }
    let exports = fs::read_to_string(EXPORTS).expect("exports.txt is checked in");
    for symbol in exports
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        // By name: `-rdynamic` would export every function of every dependency.
        println!("cargo::rustc-link-arg-bins=-Wl,--export-dynamic-symbol={symbol}");
    }
    // A language crate that links a shared library outside the loader's search path says so
    // with `links = "coprocess-…"` and the metadata `rpath`.
    for (key, directory) in std::env::vars() {
        if key.starts_with("DEP_COPROCESS_") && key.ends_with("_RPATH") {
            println!("cargo::rustc-link-arg-bins=-Wl,-rpath,{directory}");
        }
    }
}
