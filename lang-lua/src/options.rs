//! The keys of `coprocess_options` that this language reads.

use std::time::Duration;

use coprocess_core::InitError;
use serde_json::{Map, Value};

/// All keys, for the registration.
pub(crate) const KEYS: &[&str] = &[BURST, MEMORY, FFI];

const BURST: &str = "lua_burst_ms";
const MEMORY: &str = "lua_memory_limit_mb";
const FFI: &str = "lua_allow_ffi";

/// What the operator may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Options {
    /// How long a hook may keep a data-plane thread, whatever its time limit.
    pub(crate) burst: Duration,
    /// Bytes that one VM may hold.
    pub(crate) memory_limit: usize,
    /// Whether plugins may use LuaJIT's `ffi`, and with it all memory and every C function.
    pub(crate) allow_ffi: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            burst: Duration::from_millis(100),
            memory_limit: 64 << 20,
            allow_ffi: false,
        }
    }
}

impl Options {
    /// Reads and checks what is there; the rest keeps its default.
    pub(crate) fn read(options: &Map<String, Value>) -> Result<Self, InitError> {
        let mut read = Self::default();
        if let Some(value) = options.get(BURST) {
            let ms = whole_number(BURST, value, 1, 600_000)?;
            read.burst = Duration::from_millis(u64::from(ms));
        }
        if let Some(value) = options.get(MEMORY) {
            // Below this a VM cannot hold its own libraries and some plugin code.
            read.memory_limit = whole_number(MEMORY, value, 4, 65_536)? as usize * (1 << 20);
        }
        if let Some(value) = options.get(FFI) {
            read.allow_ffi = value
                .as_bool()
                .ok_or_else(|| wrong(FFI, value, "expected true or false"))?;
        }
        Ok(read)
    }
}

fn whole_number(key: &str, value: &Value, least: u32, most: u32) -> Result<u32, InitError> {
    value
        .as_u64()
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            let expected = format!("expected a whole number from {least} to {most}");
            wrong(key, value, &expected)
        })
}

fn wrong(key: &str, value: &Value, expected: &str) -> InitError {
    InitError::Option {
        key: key.to_owned(),
        reason: format!("is {value}; {expected}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Options, String> {
        let options: Map<String, Value> = serde_json::from_str(text).unwrap();
        Options::read(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn options_have_defaults_and_can_be_set() {
        assert_eq!(read("{}").unwrap(), Options::default());
        let text = r#"{"lua_burst_ms": 7, "lua_memory_limit_mb": 8, "lua_allow_ffi": true}"#;
        let expected = Options {
            burst: Duration::from_millis(7),
            memory_limit: 8 << 20,
            allow_ffi: true,
        };
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_expected() {
        for (text, expected) in [
            (
                r#"{"lua_burst_ms": 0}"#,
                "coprocess_options.lua_burst_ms: is 0; expected a whole number from 1 to 600000",
            ),
            (
                r#"{"lua_memory_limit_mb": "64"}"#,
                "coprocess_options.lua_memory_limit_mb: is \"64\"; expected a whole number from 4 to 65536",
            ),
            (
                r#"{"lua_allow_ffi": 1}"#,
                "coprocess_options.lua_allow_ffi: is 1; expected true or false",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), expected);
        }
    }
}
