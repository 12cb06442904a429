//! The C API called as C calls it.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::Mutex;

use bytes::Bytes;

use super::*;
use crate::HostError;

#[derive(Default)]
struct Recorder {
    calls: Mutex<Vec<String>>,
    data: Mutex<HashMap<String, Vec<u8>>>,
}

impl Host for Recorder {
    fn log(&self, level: LogLevel, source: &str, message: &str) {
        self.calls
            .lock()
            .unwrap()
            .push(format!("log {level:?} {source} {message}"));
    }

    fn emit_event(&self, name: &str, payload: &str) {
        assert_ne!(name, "panic", "asked to");
        self.calls
            .lock()
            .unwrap()
            .push(format!("event {name} {payload}"));
    }

    fn store_data(&self, key: &str, value: &[u8], _ttl: i64) -> Result<(), HostError> {
        self.data
            .lock()
            .unwrap()
            .insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    fn get_data(&self, key: &str) -> Result<Option<Bytes>, HostError> {
        Ok(self.data.lock().unwrap().get(key).cloned().map(Bytes::from))
    }
}

fn c(text: &[u8]) -> CString {
    CString::new(text).unwrap()
}

fn pointer(text: &CString) -> *mut c_char {
    text.as_ptr().cast_mut()
}

// One test, because the host is one per process.
#[test]
fn calls_reach_the_host_and_bad_arguments_do_no_harm() {
    let host = Arc::new(Recorder::default());
    let null = std::ptr::null_mut();
    let (name, payload, bad) = (c(b"name"), c(b"payload"), c(b"\xff"));
    let (panic, level, binary) = (c(b"panic"), c(b"error"), c(b"k"));

    // SAFETY: every pointer is NULL or from a live CString.
    unsafe {
        TykTriggerEvent(pointer(&name), pointer(&payload));
        assert!(TykGetData(pointer(&name)).is_null(), "no host yet");
    }
    assert!(install_host(host.clone()));
    assert!(!install_host(host.clone()), "the first host stays");

    // SAFETY: every pointer is NULL or from a live CString; the result is freed once.
    unsafe {
        TykTriggerEvent(pointer(&name), pointer(&payload));
        TykTriggerEvent(pointer(&bad), null);
        TykTriggerEvent(null, pointer(&payload));
        TykTriggerEvent(pointer(&panic), pointer(&payload));
        CoProcessLog(pointer(&payload), pointer(&level));
        CoProcessLog(null, null);
        TykStoreData(pointer(&name), pointer(&payload), 300);
        TykStoreData(null, pointer(&payload), 300);
        TykStoreData(pointer(&binary), null, 0);

        let value = TykGetData(pointer(&name));
        assert_eq!(std::ffi::CStr::from_ptr(value).to_bytes(), b"payload");
        libc::free(value.cast());
        let empty = TykGetData(pointer(&binary));
        assert_eq!(std::ffi::CStr::from_ptr(empty).to_bytes(), b"");
        libc::free(empty.cast());
        assert!(TykGetData(null).is_null());
    }
    assert_eq!(
        *host.calls.lock().unwrap(),
        [
            "event name payload",
            "event \u{fffd} ",
            "log Error api payload",
            "log Info api "
        ]
    );
}

#[test]
fn value_is_cut_at_its_first_nul() {
    let value = guard::malloc_string(b"ab\0cd");
    // SAFETY: a NUL-terminated block from malloc, freed once.
    unsafe {
        assert_eq!(std::ffi::CStr::from_ptr(value).to_bytes(), b"ab");
        libc::free(value.cast());
    }
}
