//! The checked-in code is what the files of `proto/` make.
#![cfg(feature = "embed")]

#[path = "../examples/codegen.rs"]
mod codegen;

use std::path::Path;

#[test]
fn generated_code_is_current() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let current = codegen::generate(package).unwrap();
    let found = std::fs::read_to_string(package.join("src/proto.rs")).unwrap();
    assert!(
        found == current,
        "src/proto.rs does not fit proto/; run `cargo xtask codegen`"
    );
}
