//! What came out of a run: medians, and how far the repetitions lie apart.

use std::collections::BTreeMap;

use serde_json::Value;

/// A round in which others used more cores than this does not count while others do.
const FOREIGN: f64 = 0.15;

/// What was measured of what: peer, scenario, mode.
pub(crate) type Cell = (String, String, String);

/// All records of one run.
#[derive(Debug, Default)]
pub(crate) struct Results {
    cells: BTreeMap<Cell, Vec<Value>>,
    calls: Vec<Value>,
}

/// One cell in numbers, over its repetitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    /// Microseconds of processor time per request, and the parts of it.
    pub(crate) cpu: f64,
    pub(crate) user: f64,
    pub(crate) system: f64,
    /// Between the least and the greatest repetition, as a part of the median.
    pub(crate) spread: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) memory: f64,
    /// Repetitions, and how many of them nobody disturbed.
    pub(crate) repetitions: usize,
    pub(crate) quiet: usize,
}

impl Results {
    pub(crate) fn new(measured: Vec<Value>, calls: Vec<Value>) -> Self {
        let mut cells: BTreeMap<Cell, Vec<Value>> = BTreeMap::new();
        for record in measured {
            let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
            let cell = (text("peer"), text("scenario"), text("mode"));
            cells.entry(cell).or_default().push(record);
        }
        Self { cells, calls }
    }

    /// The cell's numbers, if it was measured.
    pub(crate) fn summary(&self, peer: &str, scenario: &str, mode: &str) -> Option<Summary> {
        let cell = (peer.to_owned(), scenario.to_owned(), mode.to_owned());
        self.cells.get(&cell).map(|records| summary(records))
    }

    /// Processor time per request.
    pub(crate) fn cpu(&self, peer: &str, scenario: &str, mode: &str) -> Option<f64> {
        Some(self.summary(peer, scenario, mode)?.cpu)
    }

    /// The system calls counted for a row.
    pub(crate) fn calls(&self, peer: &str, scenario: &str) -> Option<&Value> {
        let of_row = |record: &&Value| record["peer"] == peer && record["scenario"] == scenario;
        self.calls.iter().find(of_row)
    }

    /// Wrong answers of all peers whose name begins so.
    pub(crate) fn bad(&self, peer: &str) -> f64 {
        let own = self
            .cells
            .iter()
            .filter(|((name, ..), _)| name.starts_with(peer));
        own.flat_map(|(_, records)| records)
            .map(|one| number(one, "bad"))
            .sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The greatest spread of all cells.
    pub(crate) fn widest_spread(&self) -> f64 {
        let spreads = self.cells.values().map(|records| summary(records).spread);
        spreads.fold(0.0, f64::max)
    }

    /// The most that others used of the machine in a round that counts, in cores.
    pub(crate) fn most_foreign(&self) -> f64 {
        let counted = self.cells.values().flat_map(|records| counted(records));
        counted
            .map(|one| number(one, "foreign"))
            .fold(0.0, f64::max)
    }

    /// How often each cell was measured, at most.
    pub(crate) fn repetitions(&self) -> usize {
        self.cells.values().map(Vec::len).max().unwrap_or_default()
    }
}

/// The numbers of records that belong together.
pub(crate) fn summary(records: &[Value]) -> Summary {
    let counted = counted(records);
    let of = |key: &str| median(counted.iter().map(|one| number(one, key)).collect());
    let costs = || counted.iter().map(|one| number(one, "cpu_us"));
    let (least, greatest) = (
        costs().fold(f64::MAX, f64::min),
        costs().fold(0.0, f64::max),
    );
    let cpu = of("cpu_us");
    Summary {
        cpu,
        user: of("user_us"),
        system: of("system_us"),
        spread: if cpu > 0.0 {
            (greatest - least) / cpu
        } else {
            0.0
        },
        requests_per_second: of("rps"),
        p50: of("p50_us"),
        p99: of("p99_us"),
        memory: of("memory_mib"),
        repetitions: records.len(),
        quiet: records.iter().filter(|one| is_quiet(one)).count(),
    }
}

/// The undisturbed records, if there are two or nothing else; otherwise all.
fn counted(records: &[Value]) -> Vec<&Value> {
    let quiet: Vec<&Value> = records.iter().filter(|one| is_quiet(one)).collect();
    if quiet.len() >= records.len().min(2) {
        quiet
    } else {
        records.iter().collect()
    }
}

fn is_quiet(record: &Value) -> bool {
    number(record, "foreign") < FOREIGN
}

fn number(record: &Value, key: &str) -> f64 {
    record[key].as_f64().unwrap_or_default()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// A record of one repetition.
    pub(crate) fn record(peer: &str, scenario: &str, cpu: f64) -> Value {
        json!({
            "peer": peer, "scenario": scenario, "mode": "w1", "cpu_us": cpu, "user_us": cpu / 2.0,
            "system_us": cpu / 2.0, "rps": 1e6 / cpu, "p50_us": 900.0, "p99_us": 2000.0,
            "memory_mib": 12.0, "foreign": 0.0, "bad": 0,
        })
    }

    #[test]
    fn median_has_the_middle() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn disturbed_rounds_do_not_count_while_there_are_others() {
        let mut records = [14.0, 15.0, 40.0].map(|cpu| record("nginx", "P0", cpu));
        records[2]["foreign"] = json!(1.0);
        let summary = summary(&records);
        assert_eq!(
            (summary.cpu, summary.quiet, summary.repetitions),
            (14.5, 2, 3)
        );
        assert!((summary.spread - 1.0 / 14.5).abs() < 1e-9);
    }

    #[test]
    fn disturbed_rounds_count_when_there_is_nothing_else() {
        let mut only = record("nginx", "P0", 40.0);
        only["foreign"] = json!(1.0);
        let results = Results::new(vec![only], Vec::new());
        assert_eq!(results.cpu("nginx", "P0", "w1"), Some(40.0));
        assert_eq!(results.most_foreign(), 1.0);
        assert_eq!(results.cpu("nginx", "P0", "w2"), None);
    }
}
