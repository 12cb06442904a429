//! The conformance table: what it says must be shown by a test that exists.

use std::collections::{BTreeMap, HashSet};

use super::Finding;
use super::files::SourceFile;

const TABLE: &str = "docs/conformance.md";

/// What an item can be.
const STATES: [&str; 3] = ["works", "differs", "absent"];

/// One line of the table: number, item, state, and the test or the reason.
struct Row<'a> {
    line: usize,
    number: &'a str,
    state: &'a str,
    shown_by: &'a str,
}

/// Rows without a test, tests that are not there, and totals that do not add up.
pub(crate) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let Some(table) = files.iter().find(|file| file.path == TABLE) else {
        return vec![Finding::new(TABLE, 1, "the conformance table is missing")];
    };
    check_table(&table.text, &functions(files))
}

/// Names of functions in Rust and Python sources.
fn functions(files: &[SourceFile]) -> HashSet<&str> {
    let sources = files
        .iter()
        .filter(|file| file.path.ends_with(".rs") || file.path.ends_with(".py"));
    let mut names = HashSet::new();
    for file in sources {
        for keyword in ["fn ", "def "] {
            for (at, _) in file.text.match_indices(keyword) {
                let rest = &file.text[at + keyword.len()..];
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                names.insert(&rest[..end.unwrap_or(rest.len())]);
            }
        }
    }
    names
}

fn check_table(text: &str, functions: &HashSet<&str>) -> Vec<Finding> {
    let rows = rows(text);
    let mut findings = Vec::new();
    let mut say = |line, message: String| findings.push(Finding::new(TABLE, line, message));
    let mut seen = HashSet::new();
    let mut totals = BTreeMap::new();
    for row in &rows {
        if !seen.insert(row.number) {
            say(row.line, format!("number {} is used twice", row.number));
        }
        if !STATES.contains(&row.state) {
            let message = format!("`{}` is none of {}", row.state, STATES.join(", "));
            say(row.line, message);
        }
        *totals.entry(row.state).or_insert(0_usize) += 1;
        let tests: Vec<_> = row.shown_by.split('`').skip(1).step_by(2).collect();
        if row.state == "works" && tests.is_empty() {
            say(row.line, "names no test".to_owned());
        }
        if row.state != "works" && row.shown_by.is_empty() {
            say(row.line, "gives no reason".to_owned());
        }
        for test in tests {
            if row.state == "works" && !functions.contains(test) {
                say(row.line, format!("there is no test `{test}`"));
            }
        }
    }
    let total = |state| totals.get(state).copied().unwrap_or(0);
    let [works, differs, absent] = STATES.map(total);
    let sum = format!(
        "Items: {}. Works: {works}. Differs on purpose: {differs}. Not there: {absent}.",
        rows.len()
    );
    if !text.lines().any(|line| line == sum) {
        say(1, format!("must have the line: {sum}"));
    }
    findings
}

fn rows(text: &str) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let ["", number, _, state, shown_by, ""] = cells[..] else {
            continue;
        };
        if number.starts_with(|c: char| c.is_ascii_digit()) {
            rows.push(Row {
                line: index + 1,
                number,
                state,
                shown_by,
            });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let functions = HashSet::from(["a_test"]);
        let findings = check_table(text, &functions);
        findings.into_iter().map(|f| f.message).collect()
    }

    #[test]
    fn a_true_table_is_fine() {
        let table = "Items: 2. Works: 1. Differs on purpose: 1. Not there: 0.\n\
                     | no | item | state | shown by |\n|---|---|---|---|\n\
                     | 1.1 | x | works | `a_test` |\n| 1.2 | y | differs | It is better. |\n";
        assert_eq!(messages(table), Vec::<String>::new());
    }

    #[test]
    fn claims_without_a_test_are_found() {
        let table = "Items: 4. Works: 3. Differs on purpose: 0. Not there: 0.\n\
                     | 1.1 | x | works | `no_test` |\n| 1.1 | y | works | |\n\
                     | 1.2 | z | perhaps | `a_test` |\n| 1.3 | z | works | `a_test` |\n";
        let said = messages(table).join("\n");
        for part in [
            "no test `no_test`",
            "used twice",
            "names no test",
            "perhaps",
        ] {
            assert!(said.contains(part), "{part} is missing in {said}");
        }
    }

    #[test]
    fn totals_must_add_up() {
        assert!(messages("| 1.1 | x | absent | Later. |\n")[0].contains("Not there: 1."));
    }
}
