//! The test matrix: every combination of features that users may choose, as rows that can fail.
//!
//! Rows are made from `cargo metadata` in [`rows`] and carried out in [`checks`]. A row that
//! lacks an interpreter or a compiler fails; it never skips.

mod checks;
mod rows;

use std::time::{Duration, Instant};

use crate::Result;
use crate::metadata::Metadata;
use crate::setup::{self, Missing};
use rows::Row;
pub(crate) use rows::SUITE;

/// Prints the rows and the commands of each.
pub(crate) fn list(metadata: &Metadata, only: &[String]) -> Result {
    for row in chosen(metadata, only)? {
        println!("{}", row.name);
        for check in &row.checks {
            for step in check.steps(metadata) {
                println!("    {step}");
            }
        }
    }
    Ok(())
}

/// Runs the rows and prints a table; an error when one of them failed.
pub(crate) fn run(metadata: &Metadata, only: &[String]) -> Result {
    let rows = chosen(metadata, only)?;
    let missing = setup::prepare(metadata)?;
    let results: Vec<Outcome> = rows
        .iter()
        .map(|row| Outcome::of(row, metadata, &missing))
        .collect();

    let failed = results.iter().filter(|one| one.error.is_some()).count();
    let summary = format!("{} passed, {failed} failed", results.len() - failed);
    // The summary is the last line, so that a script finds it.
    println!("{}{summary}", table(&results));
    if failed > 0 {
        return Err(Failed.into());
    }
    Ok(())
}

/// Some rows failed; the table has said which, and nothing may follow its last line.
#[derive(Debug)]
pub(crate) struct Failed;

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("rows failed; see the table above")
    }
}

impl std::error::Error for Failed {}

fn chosen(metadata: &Metadata, only: &[String]) -> Result<Vec<Row>> {
    let rows = rows::rows(&metadata.languages()?);
    if only.is_empty() {
        return Ok(rows);
    }
    let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    let mut wanted = Vec::new();
    for filter in only {
        let exact: Vec<&String> = names.iter().filter(|name| *name == filter).collect();
        let found = if exact.is_empty() {
            names.iter().filter(|name| name.contains(filter)).collect()
        } else {
            exact
        };
        if found.is_empty() {
            return Err(format!("no row `{filter}`; there are: {}", names.join(" | ")).into());
        }
        wanted.extend(found);
    }
    Ok(rows
        .into_iter()
        .filter(|row| wanted.contains(&&row.name))
        .collect())
}

/// How one row went.
struct Outcome {
    name: String,
    error: Option<String>,
    took: Duration,
}

impl Outcome {
    fn of(row: &Row, metadata: &Metadata, missing: &[Missing]) -> Self {
        println!("\n== {}", row.name);
        let start = Instant::now();
        let error = blocked(row, missing).or_else(|| {
            row.checks
                .iter()
                .find_map(|check| check.run(metadata).err())
                .map(|error| error.to_string())
        });
        if let Some(error) = &error {
            println!("== {} FAILED: {error}", row.name);
        }
        Self {
            name: row.name.clone(),
            error,
            took: start.elapsed(),
        }
    }
}

/// Why the row cannot pass on this machine, if something it needs is missing.
fn blocked(row: &Row, missing: &[Missing]) -> Option<String> {
    let reasons: Vec<&str> = missing
        .iter()
        .filter(|one| {
            row.needs
                .iter()
                .any(|need| one.blocks.contains(&need.as_str()))
        })
        .map(|one| one.why.as_str())
        .collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn table(results: &[Outcome]) -> String {
    let width = results
        .iter()
        .map(|one| one.name.len())
        .max()
        .unwrap_or_default();
    let mut table = format!("\n{:width$}  result  seconds\n", "row");
    for one in results {
        let result = if one.error.is_some() {
            "FAILED"
        } else {
            "passed"
        };
        let seconds = one.took.as_secs_f64();
        table.push_str(&format!("{:width$}  {result}  {seconds:7.1}\n", one.name));
    }
    for one in results {
        if let Some(error) = &one.error {
            table.push_str(&format!("\n{}: {error}\n", one.name));
        }
    }
    table.push('\n');
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::sample;

    #[test]
    fn filter_prefers_the_exact_name() {
        let names = |only: &str| -> Vec<String> {
            let rows = chosen(&sample(), &[only.to_owned()]).unwrap();
            rows.into_iter().map(|row| row.name).collect()
        };
        assert_eq!(names("foo"), ["foo"]);
        assert_eq!(names("clippy all-features"), ["clippy all-features"]);
        assert!(names("clippy").len() > 2, "{:?}", names("clippy"));
    }

    #[test]
    fn unknown_row_lists_the_rows() {
        let error = chosen(&sample(), &["bar".to_owned()]).unwrap_err();
        assert!(
            error.to_string().contains("plain | foo | coprocess"),
            "{error}"
        );
    }

    #[test]
    fn table_ends_with_the_reasons() {
        let outcome = |name: &str, error: Option<&str>| Outcome {
            name: name.into(),
            error: error.map(str::to_owned),
            took: Duration::from_millis(1500),
        };
        let text = table(&[outcome("plain", None), outcome("docs plain", Some("no cc"))]);
        assert!(text.contains("plain       passed      1.5"), "{text}");
        assert!(text.contains("docs plain  FAILED"), "{text}");
        assert!(text.ends_with("docs plain: no cc\n\n"), "{text}");
    }
}
