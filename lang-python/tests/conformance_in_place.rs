//! Python keeps the contract's promises on the caller's thread, too.

coprocess_core::conformance_suite!(
    language: lang_python::PythonLanguage::default(),
    driver: "python",
    plugins: concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/plugins/conformance/python"
    ),
    options: r#"{"python_dispatch": "inline"}"#,
);
