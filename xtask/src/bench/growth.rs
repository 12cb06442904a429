//! How the cost of a request grows with what there is: tables and curves.

use std::path::Path;

use serde_json::Value;

use super::chart::{self, Curve, Panel};
use super::harness::Report;
use super::page;
use super::results::{Summary, summary};
use crate::Result;

/// Something that there can be more of.
struct Subject {
    title: &'static str,
    /// What is counted, the head of the first column.
    amounts: &'static str,
    /// What one point costs, the vertical axis.
    unit: &'static str,
    /// The harness's name of a series, and ours.
    series: &'static [(&'static str, &'static str)],
    /// The cost is told per unit of the amount.
    each: bool,
}

const SUBJECTS: [Subject; 4] = [
    Subject {
        title: "APIs",
        amounts: "APIs",
        unit: "CPU µs a request",
        series: &[("apis", "proxy")],
        each: false,
    },
    Subject {
        title: "Hooks in a chain",
        amounts: "hooks",
        unit: "CPU µs a request",
        series: &[("hooks-lua", "Lua"), ("hooks-python", "Python")],
        each: false,
    },
    Subject {
        title: "Connections",
        amounts: "connections",
        unit: "CPU µs a request",
        series: &[("connections", "proxy")],
        each: false,
    },
    Subject {
        title: "Bodies",
        amounts: "MiB a body",
        unit: "CPU µs a MiB",
        series: &[("upload", "upload"), ("download", "download")],
        each: true,
    },
];

/// Writes the curves and the part of the page about growth.
pub(crate) fn write(root: &Path, report: &Report) -> Result {
    let panels: Vec<Panel> = SUBJECTS
        .iter()
        .map(|one| one.panel(&report.records))
        .collect();
    std::fs::write(
        root.join("docs/performance-growth.svg"),
        chart::curves(&panels),
    )?;
    let tables: Vec<String> = SUBJECTS
        .iter()
        .map(|one| format!("### {}\n\n{}", one.title, one.table(&report.records)))
        .collect();
    println!("\n{}", tables.join("\n"));
    let text = format!(
        "{}\n\n![Processor time by number of APIs, hooks and connections, and by length of \
         bodies](performance-growth.svg)\n\n{}",
        page::sentence(&report.facts),
        tables.join("\n")
    );
    page::replace(root, "growth", &text)
}

impl Subject {
    /// Each amount of a series with its numbers, by amount.
    fn points(&self, series: &str, records: &[Value]) -> Vec<(u64, Summary)> {
        let of_series = || records.iter().filter(|one| one["series"] == series);
        let mut amounts: Vec<u64> = of_series()
            .filter_map(|one| one["amount"].as_u64())
            .collect();
        amounts.sort_unstable();
        amounts.dedup();
        let numbers = |amount: u64| {
            let own = of_series().filter(|one| one["amount"].as_u64() == Some(amount));
            summary(&own.cloned().collect::<Vec<_>>())
        };
        amounts
            .into_iter()
            .map(|amount| (amount, numbers(amount)))
            .collect()
    }

    fn cost(&self, amount: u64, one: &Summary) -> f64 {
        one.cpu / if self.each { amount as f64 } else { 1.0 }
    }

    fn panel(&self, records: &[Value]) -> Panel {
        let curve = |(series, name): &(&str, &str)| Curve {
            name: (*name).to_owned(),
            points: self
                .points(series, records)
                .iter()
                .map(|(amount, one)| (*amount as f64, self.cost(*amount, one)))
                .collect(),
        };
        Panel {
            title: format!("{}: {}", self.title, self.unit),
            amounts: self.amounts.to_owned(),
            curves: self.series.iter().map(curve).collect(),
        }
    }

    fn table(&self, records: &[Value]) -> String {
        let head = [self.amounts, "what", self.unit, "p99 ms", "MiB of memory"];
        let mut rows = vec![head.map(str::to_owned)];
        for (series, name) in self.series {
            for (amount, one) in self.points(series, records) {
                rows.push([
                    amount.to_string(),
                    (*name).to_owned(),
                    format!("{:.1}", self.cost(amount, &one)),
                    format!("{:.1}", one.p99 / 1000.0),
                    format!("{:.0}", one.memory),
                ]);
            }
        }
        page::table(&rows)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(series: &str, amount: u64, cpu: f64) -> Value {
        json!({"series": series, "amount": amount, "cpu_us": cpu, "p99_us": 2000.0, "memory_mib": 12.0})
    }

    #[test]
    fn table_has_each_amount_once_in_order() {
        let records = [
            record("apis", 100, 16.0),
            record("apis", 1, 15.0),
            record("apis", 1, 17.0),
        ];
        let table = SUBJECTS[0].table(&records);
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert!(lines[0].starts_with("| 1    | proxy | 16.0"), "{table}");
        assert!(lines[1].starts_with("| 100  | proxy | 16.0"), "{table}");
        assert_eq!(lines.len(), 2, "{table}");
    }

    #[test]
    fn bodies_cost_by_their_length() {
        let panel = SUBJECTS[3].panel(&[record("upload", 10, 5000.0)]);
        assert_eq!(panel.curves[0].points, [(10.0, 500.0)]);
        assert!(panel.curves[1].points.is_empty());
    }
}
