//! Measures the gateway beside other servers, and writes what came out into
//! `docs/performance.md`.

mod chart;
mod goals;
mod growth;
mod harness;
mod page;
mod peers;
mod results;

use crate::Result;
use crate::binary::Profile;
use crate::flags::BenchFlags;
use crate::metadata::Metadata;
use crate::{dist, setup, syscalls};
pub(crate) use harness::Harness;
use results::Results;

/// The task.
pub(crate) fn run(metadata: &Metadata, flags: &BenchFlags) -> Result {
    let harness = if flags.dist {
        Harness::of(metadata, dist::binary(metadata)?)?
    } else {
        Harness::build(metadata, Profile::Release)?
    };
    let mut words = vec!["--reps".to_owned(), flags.reps.to_string()];
    if let Some(seconds) = flags.seconds {
        let warm = seconds.min(1.0);
        words.extend(["--seconds".to_owned(), seconds.to_string()]);
        words.extend(["--warm".to_owned(), warm.to_string()]);
    }
    if flags.growth {
        let report = harness.run("growth", &words)?;
        growth::write(&metadata.root, &report)?;
        return failures(&report.failures);
    }
    compare(metadata, &harness, flags, words)
}

/// Everything beside everything, and the table of goals.
fn compare(
    metadata: &Metadata,
    harness: &Harness,
    flags: &BenchFlags,
    mut words: Vec<String>,
) -> Result {
    let chosen = match &flags.peers {
        Some(peers) => peers.clone(),
        None if flags.all => format!("{},{}", peers::DEFAULT, peers::MORE),
        None => peers::DEFAULT.to_owned(),
    };
    let names: Vec<&str> = chosen.split(',').collect();
    peers::setup(harness, &names)?;
    words.extend(["--peers".to_owned(), chosen.clone()]);
    words.extend(["--modes".to_owned(), flags.modes.clone()]);
    let mut report = harness.run("measure", &words)?;
    let calls = count_calls(harness, &names)?;
    report.failures.extend(calls.failures);
    let results = Results::new(std::mem::take(&mut report.records), calls.records);
    println!("\n{}", page::goals(&results));
    // A part of the peers is not the page.
    if flags.peers.is_none() {
        let write = if flags.dist {
            page::write_dist
        } else {
            page::write
        };
        write(&metadata.root, &results, &report.facts)?;
        println!("docs/performance.md has these results; commit it if the machine was quiet");
    }
    failures(&report.failures)
}

/// System calls, where they can be counted; the table says where they were not.
fn count_calls(harness: &Harness, peers: &[&str]) -> Result<harness::Report> {
    let rows: Vec<String> = syscalls::ROWS
        .iter()
        .filter(|(peer, _)| peers.contains(peer))
        .map(|(peer, scenario)| format!("{peer}:{scenario}"))
        .collect();
    let missing = setup::bring(|| {
        setup::program("perf", &["linux-perf"])
            .into_iter()
            .collect()
    })?;
    if rows.is_empty() || !missing.is_empty() {
        return Ok(harness::Report::default());
    }
    match harness.run("calls", &rows) {
        Ok(report) => Ok(report),
        Err(error) => {
            println!("system calls are not counted: {error}");
            Ok(harness::Report::default())
        }
    }
}

fn failures(failures: &[String]) -> Result {
    if failures.is_empty() {
        return Ok(());
    }
    Err(format!("not measured:\n  {}", failures.join("\n  ")).into())
}
