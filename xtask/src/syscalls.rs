//! A gate: how many system calls one request may cost. Counted by the kernel, so the result is
//! the same on a busy machine, and a wake-up or a copy too many is found before it is slow.

use serde_json::Value;

use crate::Result;
use crate::bench::Harness;
use crate::binary::Profile;
use crate::metadata::Metadata;
use crate::setup;

/// Calls of all kinds, per request.
const MOST_CALLS: f64 = 4.5;
/// `mmap`, `munmap` and `futex` together, per request: none, but for what starts and ends.
const MOST_OF_THE_COSTLY: f64 = 0.01;
const COSTLY: [&str; 3] = ["mmap", "munmap", "futex"];
/// With fewer requests, what happens once would count.
const FEWEST_REQUESTS: f64 = 2000.0;

/// A row is disturbed when others used more than this part of a core.
const FOREIGN: f64 = 0.1;
/// On a machine that is busy with something else, hooks may not stay in place; a cost that is
/// the gateway's own is there every time.
const ATTEMPTS: usize = 3;

/// The plain proxy, and a light hook in each language.
pub(crate) const ROWS: [(&str, &str); 3] = [
    ("gateway", "P0"),
    ("gateway-lua", "P1"),
    ("gateway-python", "P1"),
];

/// The task: an error when a row is over its limits each time.
pub(crate) fn run(metadata: &Metadata) -> Result {
    let perf = || {
        setup::program("perf", &["linux-perf"])
            .into_iter()
            .collect()
    };
    if let Some(missing) = setup::bring(perf)?.first() {
        return Err(missing.why.clone().into());
    }
    let harness = Harness::build(metadata, Profile::Gate)?;
    let rows: Vec<String> = ROWS
        .map(|(peer, scenario)| format!("{peer}:{scenario}"))
        .into();
    let mut wrong = measure(&harness, &rows)?;
    for _ in 1..ATTEMPTS {
        let again: Vec<String> = rows
            .iter()
            .filter(|row| wrong.iter().any(|line| line.starts_with(row.as_str())))
            .cloned()
            .collect();
        if again.is_empty() {
            break;
        }
        println!("once more:\n  {}", wrong.join("\n  "));
        wrong = measure(&harness, &again)?;
    }
    if wrong.is_empty() {
        println!(
            "system calls: at most {MOST_CALLS} a request, and none of {}",
            COSTLY.join(", ")
        );
        return Ok(());
    }
    Err(wrong.join("\n  ").into())
}

/// Counts for each row; returns what is wrong, each line beginning with its row.
fn measure(harness: &Harness, rows: &[String]) -> Result<Vec<String>> {
    let report = harness.run("calls", rows)?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            let record = report.records.iter().find(|record| name(record) == *row);
            let wrong = match record {
                Some(record) => complaint(record)?,
                None => report.failures.join("; "),
            };
            Some(format!("{row}: {wrong}"))
        })
        .collect())
}

fn name(record: &Value) -> String {
    let text = |key: &str| record[key].as_str().unwrap_or_default();
    format!("{}:{}", text("peer"), text("scenario"))
}

/// What is wrong with a row, if anything.
fn complaint(record: &Value) -> Option<String> {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::INFINITY);
    let calls = &record["calls"];
    let (all, costly) = (all(record), costly(record));
    if number(&record["bad"]) > 0.0 {
        return Some(format!("{} wrong answers", record["bad"]));
    }
    if record["requests"].as_f64().unwrap_or_default() < FEWEST_REQUESTS {
        return Some(format!(
            "only {} requests were answered",
            record["requests"]
        ));
    }
    if all > MOST_CALLS {
        return Some(format!(
            "{all:.2} system calls a request, {MOST_CALLS} at most: {calls}"
        ));
    }
    (costly >= MOST_OF_THE_COSTLY).then(|| {
        let names = COSTLY.join(" + ");
        format!("{costly:.3} {names} a request, below {MOST_OF_THE_COSTLY} at most: {calls}")
    })
}

/// System calls per request. Where the processor is taken away in the middle of hooks, asking
/// for the reason is a call each, which is the busy machine's and not the request's.
pub(crate) fn all(record: &Value) -> f64 {
    let number = |value: &Value| value.as_f64().unwrap_or(f64::INFINITY);
    let calls = number(&record["calls"]["all"]);
    if number(&record["foreign"]) > FOREIGN {
        calls - record["calls"]["getrusage"].as_f64().unwrap_or_default()
    } else {
        calls
    }
}

/// How many of the calls that a request has no need of there were, per request.
pub(crate) fn costly(record: &Value) -> f64 {
    let counts = COSTLY.map(|name| record["calls"][name].as_f64());
    counts
        .iter()
        .map(|count| count.unwrap_or(f64::INFINITY))
        .sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(all: f64, futex: f64, requests: u64, bad: u64) -> Value {
        json!({
            "peer": "gateway", "scenario": "P0", "requests": requests, "bad": bad, "foreign": 0.0,
            "calls": {"all": all, "mmap": 0.0, "munmap": 0.0, "futex": futex},
        })
    }

    fn check(record: &Value, expected: Option<&str>) {
        let found = complaint(record);
        match expected {
            None => assert_eq!(found, None),
            Some(words) => assert!(found.as_ref().unwrap().contains(words), "{found:?}"),
        }
    }

    #[test]
    fn row_is_held_against_its_limits() {
        check(&record(4.08, 0.002, 40_000, 0), None);
        check(&record(4.61, 0.0, 40_000, 0), Some("4.61 system calls"));
        check(&record(4.08, 1.0, 40_000, 0), Some("1.000 mmap + munmap"));
        check(&record(4.08, 0.0, 40_000, 3), Some("3 wrong answers"));
        check(&record(4.08, 0.0, 12, 0), Some("only 12 requests"));
    }

    #[test]
    fn question_for_the_processor_counts_on_a_quiet_machine_only() {
        let mut record = record(5.02, 0.0, 40_000, 0);
        record["calls"]["getrusage"] = json!(0.95);
        check(&record, Some("5.02 system calls"));
        record["foreign"] = json!(1.2);
        check(&record, None);
    }

    #[test]
    fn count_that_is_missing_is_no_pass() {
        let mut record = record(4.08, 0.0, 40_000, 0);
        record["calls"].as_object_mut().unwrap().remove("futex");
        check(&record, Some("inf"));
        assert_eq!(name(&record), "gateway:P0");
    }
}
