//! Lua keeps the contract that all languages keep.

coprocess_core::conformance_suite!(
    language: lang_lua::Lua::default(),
    driver: "lua",
    plugins: concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/plugins/conformance/lua"),
    // Machines under load must not fail the cases that are not about limits.
    options: r#"{"lua_burst_ms": 5000}"#,
);
