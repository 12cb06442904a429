//! The uptime tests of one API, made when it is loaded.

use std::sync::Arc;

use super::UpstreamTls;
use crate::definition::ApiDefinition;
use crate::uptime::{MOST_TESTS, Probe};

/// The tests that the definition asks for, or what is wrong with one.
pub(super) fn make(api: &ApiDefinition, tls: &UpstreamTls) -> Result<Vec<Arc<Probe>>, String> {
    let tests = &api.uptime_tests;
    if tests.disabled {
        return Ok(Vec::new());
    }
    let wrong = |what: String| format!("API `{}`: uptime_tests.check_list{what}", api.api_id);
    if tests.check_list.len() > MOST_TESTS {
        let number = tests.check_list.len();
        return Err(wrong(format!(
            ": has {number} tests; {MOST_TESTS} are possible"
        )));
    }
    let list = tests.check_list.iter().enumerate();
    let made = list.map(|(place, test)| {
        let probe = Probe::new(test, |target| {
            let secured = tls.secured(Arc::new(target));
            secured.map_err(|error| error.to_string())
        });
        let probe = probe.map_err(|told| wrong(format!("[{place}].{told}")))?;
        Ok(Arc::new(probe))
    });
    made.collect()
}
