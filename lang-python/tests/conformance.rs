//! Python keeps the contract's promises.

coprocess_core::conformance_suite!(
    language: lang_python::PythonLanguage::default(),
    driver: "python",
    plugins: concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/plugins/conformance/python"),
);
