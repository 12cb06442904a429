//! The gateway as a plugin sees it here: it remembers, and shows at the end.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use coprocess_core::{Host, HostError, LogLevel};

/// What a plugin asked the gateway for.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    /// Level and message of each log line.
    pub(super) logs: Vec<(LogLevel, String)>,
    /// Name and payload of each event.
    pub(super) events: Vec<(String, String)>,
    /// What is stored, and for how many seconds; 0 is without end.
    pub(super) data: BTreeMap<String, (Bytes, i64)>,
}

/// A host without a gateway. Data lasts as long as the process, however short its time to
/// live: a run is over before it could matter.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Record>);

impl Recorder {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was recorded; stored data stays for the next call.
    pub(super) fn take(&self) -> Record {
        let mut record = self.record();
        Record {
            logs: std::mem::take(&mut record.logs),
            events: std::mem::take(&mut record.events),
            data: record.data.clone(),
        }
    }

    /// Forgets everything, stored data too.
    pub(super) fn clear(&self) {
        *self.record() = Record::default();
    }
}

impl Host for Recorder {
    fn log(&self, level: LogLevel, _source: &str, message: &str) {
        self.record().logs.push((level, message.to_owned()));
    }

    fn emit_event(&self, name: &str, payload: &str) {
        let event = (name.to_owned(), payload.to_owned());
        self.record().events.push(event);
    }

    fn store_data(&self, key: &str, value: &[u8], ttl: i64) -> Result<(), HostError> {
        if ttl < 0 {
            let text = format!("ttl is {ttl}; give seconds, or 0 for no end");
            return Err(HostError::Argument(text));
        }
        let value = (Bytes::copy_from_slice(value), ttl);
        self.record().data.insert(key.to_owned(), value);
        Ok(())
    }

    fn get_data(&self, key: &str) -> Result<Option<Bytes>, HostError> {
        Ok(self.record().data.get(key).map(|(value, _)| value.clone()))
    }
}
