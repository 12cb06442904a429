//! The results as Markdown, and their place in `docs/performance.md`.

use std::path::Path;

use serde_json::Value;

use super::results::{Results, Summary};
use super::{chart, goals};
use crate::Result;

const PAGE: &str = "docs/performance.md";

/// Peers in the order of the tables and the chart; ours first.
pub(crate) const PEERS: [&str; 8] = [
    "gateway",
    "gateway-lua",
    "gateway-python",
    "nginx",
    "nginx-lua",
    "haproxy",
    "envoy",
    "pyvoy",
];

/// Scenarios with what they are, and the peer that the others are compared with.
pub(crate) const SCENARIOS: [(&str, &str, &str); 5] = [
    ("P0", "reverse proxy", "nginx"),
    ("P1", "a light hook before the request", "nginx-lua"),
    ("P2", "authentication", "nginx-lua"),
    ("P3", "a JSON body of 4 KiB is changed", "nginx-lua"),
    ("P4", "a hook on the response", "nginx-lua"),
];

/// Writes the chart and the part of the page that a comparison makes.
pub(crate) fn write(root: &Path, results: &Results, facts: &Value) -> Result {
    write_part(root, "bench", "performance.svg", results, facts)
}

/// The same for the binary that `dist` has built.
pub(crate) fn write_dist(root: &Path, results: &Results, facts: &Value) -> Result {
    write_part(root, "dist", "performance-dist.svg", results, facts)
}

fn write_part(root: &Path, name: &str, svg: &str, results: &Results, facts: &Value) -> Result {
    std::fs::write(root.join("docs").join(svg), chart::bars(results))?;
    let text = format!(
        "{}\n{}\n![Processor time per request of each server, by scenario]({svg})\n\n\
         Goals:\n\n{}\nAll figures:\n\n{}",
        sentence(facts),
        quality(results),
        goals(results),
        cells(results)
    );
    replace(root, name, &text)
}

/// Puts `text` between the page's markers of this name.
pub(crate) fn replace(root: &Path, name: &str, text: &str) -> Result {
    let path = root.join(PAGE);
    let page = std::fs::read_to_string(&path).map_err(|error| format!("{PAGE}: {error}"))?;
    std::fs::write(&path, replaced(&page, name, text)?)?;
    Ok(())
}

fn replaced(page: &str, name: &str, text: &str) -> Result<String> {
    let begin = format!("<!-- {name}:begin -->\n");
    let end = format!("<!-- {name}:end -->");
    let lacks = |marker: &str| format!("{PAGE} has no line `{}`", marker.trim());
    let (before, rest) = page.split_once(&begin).ok_or_else(|| lacks(&begin))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| lacks(&end))?;
    Ok(format!("{before}{begin}\n{}\n\n{end}{after}", text.trim()))
}

/// When, on what, with which versions.
pub(crate) fn sentence(facts: &Value) -> String {
    let text = |key: &str| facts[key].as_str().unwrap_or("unknown");
    let versions: Vec<String> = facts["versions"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or("unknown")))
        .collect();
    format!(
        "Measured on {} on {} ({} cores), Linux {}, with {} and Python {}.",
        text("date"),
        text("processor"),
        facts["cores"],
        text("kernel"),
        versions.join(", "),
        text("python")
    )
}

fn quality(results: &Results) -> String {
    let (spread, foreign) = (results.widest_spread() * 100.0, results.most_foreign());
    let times = match results.repetitions() {
        1 => "once, so there is no spread".to_owned(),
        count => {
            format!("{count} times, and the repetitions of a cell lie {spread:.0} % apart at most")
        }
    };
    format!(
        "Each cell was measured {times}.\nOther programs used up to {foreign:.2} cores meanwhile.\n"
    )
}

/// The table of goals.
pub(crate) fn goals(results: &Results) -> String {
    let mut rows = vec![["figure", "measured", "must", "aim", "reached"].map(str::to_owned)];
    for goal in goals::all() {
        let value = goal.value(results);
        let shown = |value: f64| match goal.unit {
            "" => format!("{value:.2}"),
            unit => format!("{value:.1} {unit}"),
        };
        rows.push([
            goal.what.to_owned(),
            value.map_or_else(|| "–".to_owned(), shown),
            shown(goal.must),
            shown(goal.aim),
            goal.reached(value).word().to_owned(),
        ]);
    }
    table(&rows)
}

/// The table of everything that was measured.
fn cells(results: &Results) -> String {
    let head = [
        "scenario, mode, server",
        "CPU µs a request",
        "spread",
        "own code / kernel µs",
        "requests/s",
        "p50 / p99 µs",
        "MiB",
        "repetitions (quiet)",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    for (scenario, ..) in SCENARIOS {
        for mode in ["w1", "w2"] {
            for peer in PEERS {
                if let Some(one) = results.summary(peer, scenario, mode) {
                    rows.push(cell(&format!("{scenario} {mode} {peer}"), one));
                }
            }
        }
    }
    table(&rows)
}

fn cell(name: &str, one: Summary) -> [String; 8] {
    [
        name.to_owned(),
        format!("{:.1}", one.cpu),
        format!("{:.0} %", one.spread * 100.0),
        format!("{:.1} / {:.1}", one.user, one.system),
        format!("{:.0}", one.requests_per_second),
        format!("{:.0} / {:.0}", one.p50, one.p99),
        format!("{:.0}", one.memory),
        format!("{} ({})", one.repetitions, one.quiet),
    ]
}

/// A Markdown table whose columns line up in a terminal, too; the first row is its head.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [3; N];
    for row in rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = text.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (width, text) in widths.iter().zip(row) {
            out.push_str(&format!("| {text:width$} "));
        }
        out.push_str("|\n");
        if index == 0 {
            for width in widths {
                out.push_str(&format!("|{}", "-".repeat(width + 2)));
            }
            out.push_str("|\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::results::tests::record;
    use super::*;

    #[test]
    fn text_goes_between_its_markers() {
        let page = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n";
        let new = replaced(page, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- x:begin -->\n\nnew\n\n<!-- x:end -->\nb\n");
        assert_eq!(replaced(&new, "x", "new").unwrap(), new);
        let error = replaced(page, "y", "new").unwrap_err().to_string();
        assert!(error.contains("<!-- y:begin -->"), "{error}");
    }

    #[test]
    fn table_lines_up() {
        let rows = [["a", "µs"], ["long name", "1"]].map(|row| row.map(str::to_owned));
        let expected = "| a         | µs  |\n|-----------|-----|\n| long name | 1   |\n";
        assert_eq!(table(&rows), expected);
    }

    #[test]
    fn tables_have_what_was_measured_and_say_what_was_not() {
        let measured = vec![record("nginx", "P0", 14.0), record("gateway", "P0", 15.4)];
        let results = Results::new(measured, Vec::new());
        let goals = goals(&results);
        assert!(
            goals.contains("| 1.10     | 1.15     | 1.00     | must"),
            "{goals}"
        );
        assert!(goals.contains("not measured"), "{goals}");
        let cells = cells(&results);
        assert!(cells.contains("| P0 w1 gateway"), "{cells}");
        assert_eq!(cells.lines().count(), 4, "{cells}");
    }

    #[test]
    fn facts_are_a_sentence() {
        let facts = json!({
            "date": "2026-01-05", "processor": "Some CPU", "cores": 2, "kernel": "6.1",
            "python": "3.11.2", "versions": {"gateway": "0.1.0", "nginx": "1.22.1"},
        });
        assert_eq!(
            sentence(&facts),
            "Measured on 2026-01-05 on Some CPU (2 cores), Linux 6.1, with gateway 0.1.0, nginx \
             1.22.1 and Python 3.11.2."
        );
    }
}
