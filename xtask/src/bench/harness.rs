//! Runs `tests/bench/harness`, which starts servers and measures them, and follows what it says.

use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use crate::Result;
use crate::binary::{self, Profile};
use crate::metadata::Metadata;
use crate::setup;
use crate::step::Step;

/// What the load generator and the upstream are made of.
const TOOLS: &str = "tests/bench/tools";

/// The harness, with everything that it needs built.
#[derive(Debug)]
pub(crate) struct Harness {
    root: PathBuf,
    /// Where tools, configurations, logs and results lie.
    pub(crate) work: PathBuf,
    gateway: PathBuf,
    python: PathBuf,
    /// What the harness and the servers are told beyond the caller's environment.
    environment: Vec<(&'static str, PathBuf)>,
}

/// What one run of the harness said.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The machine, the date, the versions.
    pub(crate) facts: Value,
    /// One record per cell that could be measured.
    pub(crate) records: Vec<Value>,
    /// Cells that could not, one sentence each.
    pub(crate) failures: Vec<String>,
}

impl Harness {
    /// Builds the gateway and the tools.
    pub(crate) fn build(metadata: &Metadata, profile: Profile) -> Result<Self> {
        Self::of(metadata, binary::build(metadata, profile)?)
    }

    /// Builds the tools, for a gateway that is there.
    pub(crate) fn of(metadata: &Metadata, gateway: PathBuf) -> Result<Self> {
        let work = metadata.target_directory.join("bench");
        std::fs::create_dir_all(work.join("bin"))?;
        for tool in ["load", "origin"] {
            let source = format!("{TOOLS}/{tool}.c");
            let output = work.join("bin").join(tool);
            let compile = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o"];
            let words = [&output.to_string_lossy(), source.as_str()];
            Step::program(&[compile.as_slice(), &words].concat()).run(&metadata.root)?;
        }
        Ok(Self {
            root: metadata.root.clone(),
            work,
            gateway,
            python: setup::python().ok_or("no Python 3 in PATH to run tests/bench/harness with")?,
            environment: Vec::new(),
        })
    }

    /// Tells the servers something more.
    pub(crate) fn env(mut self, name: &'static str, value: PathBuf) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Runs one command of the harness to its end, with progress; each record is also a line
    /// of `target/bench/<command>.jsonl`. An error when nothing could be measured at all.
    pub(crate) fn run(&self, command: &str, words: &[String]) -> Result<Report> {
        let mut process = Command::new(&self.python);
        process
            .args(["-B", "tests/bench/harness", command, "--work"])
            .arg(&self.work)
            .args(words)
            .env("GATEWAY", &self.gateway)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            // The binary must find its interpreters by itself.
            .env_remove("LD_LIBRARY_PATH")
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        println!("$ tests/bench/harness {command} {}", words.join(" "));
        let mut process = process
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", self.python.display()))?;
        let lines = BufReader::new(process.stdout.take().expect("it is a pipe")).lines();
        let mut kept = std::fs::File::create(self.work.join(format!("{command}.jsonl")))?;
        let progress = progress();
        let mut report = Report::default();
        for line in lines {
            let line = line?;
            let record: Value = serde_json::from_str(&line)
                .map_err(|error| format!("the harness said `{line}`: {error}"))?;
            writeln!(kept, "{line}")?;
            report.take(record, &progress)?;
        }
        progress.finish_and_clear();
        let status = process.wait()?;
        if !status.success() {
            return Err(format!("tests/bench/harness {command} ended with {status}").into());
        }
        Ok(report)
    }
}

impl Report {
    fn take(&mut self, record: Value, progress: &ProgressBar) -> Result {
        if let Some(why) = record["impossible"].as_str() {
            return Err(why.into());
        }
        if let Some(cells) = record["cells"].as_u64() {
            progress.set_length(cells);
            self.facts = record["facts"].clone();
            return Ok(());
        }
        let line = told(&record);
        // Where there is no terminal the bar is hidden, and the lines are the progress.
        progress.suspend(|| println!("{line}"));
        progress.inc(1);
        if record["error"].is_string() {
            self.failures.push(line);
        } else {
            self.records.push(record);
        }
        Ok(())
    }
}

/// A record as a line for a person.
fn told(record: &Value) -> String {
    let word = |key: &str| match &record[key] {
        Value::String(text) => format!("{text} "),
        Value::Number(number) => format!("{number} "),
        _ => String::new(),
    };
    let keys = [
        "peer", "series", "store", "kind", "scenario", "mode", "amount",
    ];
    let cell: String = keys.map(word).concat();
    if let Some(error) = record["error"].as_str() {
        return format!("{cell:28} FAILED: {error}");
    }
    let number = |key: &str| record[key].as_f64().unwrap_or_default();
    let what = match record["calls"]["all"].as_f64() {
        Some(calls) => format!("{calls:6.2} calls a request"),
        None => format!(
            "{:9.2} µs a request {:8.0} requests/s {:6.1} MiB",
            number("cpu_us"),
            number("rps"),
            number("memory_mib")
        ),
    };
    let foreign = number("foreign");
    let disturbed = if foreign > 0.1 {
        format!("  disturbed: others used {foreign:.2} cores")
    } else {
        String::new()
    };
    format!("{cell:28} {what}  {} bad{disturbed}", number("bad"))
}

fn progress() -> ProgressBar {
    let progress = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} of {duration}");
    progress.set_style(style.expect("the template is right"));
    if !std::io::stdout().is_terminal() {
        progress.set_draw_target(ProgressDrawTarget::hidden());
    }
    progress
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn report_has_results_failures_and_facts() {
        let mut report = Report::default();
        let progress = ProgressBar::hidden();
        for record in [
            json!({"cells": 2, "facts": {"kernel": "6"}}),
            json!({"peer": "nginx", "scenario": "P0", "cpu_us": 14.7, "bad": 0}),
            json!({"peer": "nginx", "scenario": "P9", "error": "no such thing"}),
        ] {
            report.take(record, &progress).unwrap();
        }
        assert_eq!(report.facts["kernel"], "6");
        assert_eq!(report.records.len(), 1);
        assert!(report.failures[0].contains("no such thing"), "{report:?}");
    }

    #[test]
    fn what_cannot_be_measured_is_an_error_with_its_reason() {
        let record = json!({"impossible": "no `perf` in PATH"});
        let error = Report::default().take(record, &ProgressBar::hidden());
        assert!(error.unwrap_err().to_string().contains("perf"));
    }

    #[test]
    fn disturbance_is_told() {
        let line = told(&json!({"peer": "gateway", "cpu_us": 15.0, "foreign": 0.5, "bad": 0}));
        assert!(line.contains("others used 0.50 cores"), "{line}");
        let line = told(&json!({"peer": "gateway", "calls": {"all": 4.08}, "foreign": 0.0}));
        assert!(line.contains("4.08 calls a request  0 bad"), "{line}");
    }
}
