//! What the gateway has to reach: ratios between cells of one run, and what may not be there.

use super::results::Results;
use crate::syscalls;
use Figure::Ratio;

/// One line of the table of goals.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    /// The greatest value that counts as done, and the one that is aimed at.
    pub(crate) must: f64,
    pub(crate) aim: f64,
    pub(crate) unit: &'static str,
    figure: Figure,
}

/// How a goal's value is found.
#[derive(Debug)]
enum Figure {
    /// Processor time per request of the first over that of the second, same scenario.
    Ratio(&'static str, &'static str, &'static str),
    /// What a hook adds: the peer's P1 minus the plain gateway's P0, in microseconds.
    Hook(&'static str),
    /// P1 of the peer with two workers over one.
    Workers(&'static str),
    /// System calls per request, at most of the rows with these peers.
    Calls,
    /// Calls that no request has need of.
    Costly,
    /// MiB after load with one worker, the greatest over the scenarios.
    Memory(&'static str),
    /// Wrong answers.
    Bad,
}

/// Whether a goal is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    Aim,
    Must,
    No,
    NotMeasured,
}

impl Goal {
    /// The value in this run, if everything that it needs was measured.
    pub(crate) fn value(&self, results: &Results) -> Option<f64> {
        match self.figure {
            Figure::Ratio(scenario, ours, theirs) => {
                Some(results.cpu(ours, scenario, "w1")? / results.cpu(theirs, scenario, "w1")?)
            }
            Figure::Hook(peer) => {
                Some(results.cpu(peer, "P1", "w1")? - results.cpu("gateway", "P0", "w1")?)
            }
            Figure::Workers(peer) => {
                Some(results.cpu(peer, "P1", "w2")? / results.cpu(peer, "P1", "w1")?)
            }
            Figure::Calls => greatest(
                syscalls::ROWS
                    .map(|(peer, scenario)| Some(syscalls::all(results.calls(peer, scenario)?))),
            ),
            Figure::Costly => {
                // Three digits are what the gate looks at, too.
                let of_row = |(peer, scenario)| {
                    let costly = syscalls::costly(results.calls(peer, scenario)?);
                    Some((costly * 100.0).floor() / 100.0)
                };
                greatest(syscalls::ROWS.map(of_row))
            }
            Figure::Memory(peer) => {
                let scenarios = ["P1", "P2", "P3", "P4"];
                greatest(scenarios.map(|one| Some(results.summary(peer, one, "w1")?.memory)))
            }
            Figure::Bad => (!results.is_empty()).then(|| results.bad("gateway")),
        }
    }

    /// Whether that value is good enough.
    pub(crate) fn reached(&self, value: Option<f64>) -> Reached {
        match value {
            None => Reached::NotMeasured,
            Some(value) if value <= self.aim => Reached::Aim,
            Some(value) if value <= self.must => Reached::Must,
            Some(_) => Reached::No,
        }
    }
}

impl Reached {
    /// The word in the table.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Aim => "aim",
            Self::Must => "must",
            Self::No => "no",
            Self::NotMeasured => "not measured",
        }
    }
}

/// The greatest value, if all are there.
fn greatest<const N: usize>(values: [Option<f64>; N]) -> Option<f64> {
    let values: Option<Vec<f64>> = values.into_iter().collect();
    values?.into_iter().reduce(f64::max)
}

/// Every goal, in the order of the table.
pub(crate) fn all() -> Vec<Goal> {
    let ratios = RATIOS.map(|(what, must, aim, figure)| (what, must, aim, "", figure));
    let goals = ratios.into_iter().chain(ABSOLUTES);
    goals
        .map(|(what, must, aim, unit, figure)| Goal {
            what,
            must,
            aim,
            unit,
            figure,
        })
        .collect()
}

const LUA: &str = "gateway-lua";
const PYTHON: &str = "gateway-python";
const NGINX_LUA: &str = "nginx-lua";

const RATIOS: [(&str, f64, f64, Figure); 12] = [
    ("P0 / nginx P0", 1.15, 1.00, Ratio("P0", "gateway", "nginx")),
    ("P0 / Envoy P0", 0.55, 0.48, Ratio("P0", "gateway", "envoy")),
    (
        "P1 Lua / nginx-lua P1",
        1.00,
        0.90,
        Ratio("P1", LUA, NGINX_LUA),
    ),
    (
        "P1 Python / nginx-lua P1",
        1.05,
        0.90,
        Ratio("P1", PYTHON, NGINX_LUA),
    ),
    (
        "P1 Python / pyvoy P1",
        0.25,
        0.20,
        Ratio("P1", PYTHON, "pyvoy"),
    ),
    (
        "P2 Lua / nginx-lua P2",
        1.05,
        0.95,
        Ratio("P2", LUA, NGINX_LUA),
    ),
    (
        "P2 Python / nginx-lua P2",
        1.05,
        0.95,
        Ratio("P2", PYTHON, NGINX_LUA),
    ),
    (
        "P3 Lua / nginx-lua P3",
        1.00,
        0.80,
        Ratio("P3", LUA, NGINX_LUA),
    ),
    (
        "P3 Python / nginx-lua P3",
        1.05,
        0.85,
        Ratio("P3", PYTHON, NGINX_LUA),
    ),
    (
        "P3 Python / pyvoy P3",
        0.55,
        0.45,
        Ratio("P3", PYTHON, "pyvoy"),
    ),
    (
        "P4 Lua / nginx-lua P4",
        1.00,
        0.85,
        Ratio("P4", LUA, NGINX_LUA),
    ),
    (
        "P4 Python / nginx-lua P4",
        1.00,
        0.85,
        Ratio("P4", PYTHON, NGINX_LUA),
    ),
];

const ABSOLUTES: [(&str, f64, f64, &str, Figure); 8] = [
    ("P1 Lua minus P0", 2.5, 1.5, "µs", Figure::Hook(LUA)),
    ("P1 Python minus P0", 2.5, 1.5, "µs", Figure::Hook(PYTHON)),
    (
        "2 workers / 1 worker, P1 Python",
        1.10,
        1.02,
        "",
        Figure::Workers(PYTHON),
    ),
    (
        "system calls per request, P0 and P1",
        4.5,
        4.1,
        "",
        Figure::Calls,
    ),
    (
        "mmap + munmap + futex per request",
        0.0,
        0.0,
        "",
        Figure::Costly,
    ),
    (
        "memory after load, Lua",
        30.0,
        15.0,
        "MiB",
        Figure::Memory(LUA),
    ),
    (
        "memory after load, Python",
        45.0,
        25.0,
        "MiB",
        Figure::Memory(PYTHON),
    ),
    ("errors under load", 0.0, 0.0, "", Figure::Bad),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::results::tests::record;
    use super::*;

    fn check(what: &str, results: &Results, expected: Reached) {
        let goals = all();
        let goal = goals.iter().find(|goal| goal.what == what).unwrap();
        let value = goal.value(results);
        assert_eq!(goal.reached(value), expected, "{what}: {value:?}");
    }

    #[test]
    fn goals_are_held_against_one_run() {
        let measured = vec![
            record("nginx", "P0", 14.0),
            record("gateway", "P0", 15.4),
            record("nginx-lua", "P1", 18.0),
            record("gateway-lua", "P1", 18.2),
            record("gateway-python", "P1", 16.0),
        ];
        let calls = syscalls::ROWS.map(|(peer, scenario)| {
            let calls = json!({"all": 4.08, "mmap": 0.0, "munmap": 0.0, "futex": 0.004});
            json!({"peer": peer, "scenario": scenario, "foreign": 0.0, "calls": calls})
        });
        let results = Results::new(measured, calls.into());
        for (what, expected) in [
            ("P0 / nginx P0", Reached::Must),
            ("P0 / Envoy P0", Reached::NotMeasured),
            ("P1 Lua / nginx-lua P1", Reached::No),
            ("P1 Python / nginx-lua P1", Reached::Aim),
            ("P1 Python minus P0", Reached::Aim),
            ("2 workers / 1 worker, P1 Python", Reached::NotMeasured),
            ("system calls per request, P0 and P1", Reached::Aim),
            ("mmap + munmap + futex per request", Reached::Aim),
            ("memory after load, Lua", Reached::NotMeasured),
            ("errors under load", Reached::Aim),
        ] {
            check(what, &results, expected);
        }
    }

    #[test]
    fn nothing_is_reached_when_nothing_was_measured() {
        let results = Results::default();
        for goal in all() {
            assert_eq!(
                goal.reached(goal.value(&results)),
                Reached::NotMeasured,
                "{goal:?}"
            );
        }
    }
}
