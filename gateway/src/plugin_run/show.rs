//! What people and programs are shown of a run.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use serde_json::{Value, json};
use similar::TextDiff;

use super::call::Loaded;
use super::outcome::{Effect, Message, Outcome};

/// Lines around a change.
const CONTEXT: usize = 2;

/// How long the calls of a measurement took.
pub(super) struct Times {
    pub(super) calls: usize,
    pub(super) median: Duration,
    pub(super) p99: Duration,
}

impl Times {
    /// Of at least one call.
    pub(super) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self {
            calls: times.len(),
            median: times[times.len() / 2],
            p99: times[(times.len() * 99 / 100).min(times.len() - 1)],
        }
    }
}

/// One line of JSON.
pub(super) fn json(loaded: &Loaded, outcome: &Outcome, times: Option<&Times>) {
    let mut all = outcome.to_json();
    all["hook"] = json!({
        "name": loaded.name(),
        "type": loaded.hook_type().as_str(),
        "driver": loaded.driver(),
    });
    if let Some(times) = times {
        all["repeat"] = json!({
            "calls": times.calls,
            "median_us": times.median.as_secs_f64() * 1e6,
            "p99_us": times.p99.as_secs_f64() * 1e6,
        });
    }
    print(&format!("{all}\n"));
}

/// What changed, and what else happened. A failure goes to standard error.
pub(super) fn text(loaded: &Loaded, outcome: &Outcome, times: Option<&Times>) {
    let paint = Paint::of_terminal();
    let mut text = String::new();
    let (hook, name) = (loaded.hook_type().as_str(), loaded.name());
    match &outcome.result {
        Ok(effect) => {
            let took = outcome.took;
            text.push_str(&format!("{hook} hook `{name}` ran in {took:.1?}\n"));
            text.push_str(&effect_text(&outcome.before, effect, paint));
        }
        Err(error) => {
            eprintln!("gateway: {hook} hook `{name}` failed: {error}");
            let _ = std::io::stderr().flush();
        }
    }
    text.push_str(&record_text(outcome));
    if let Some(times) = times {
        let Times { calls, median, p99 } = times;
        text.push_str(&format!(
            "{calls} calls: median {median:.1?}, p99 {p99:.1?}\n"
        ));
    }
    print(&text);
}

fn effect_text(before: &Message, effect: &Effect, paint: Paint) -> String {
    let (after, more) = match effect {
        Effect::GoesOn(after) => (after, String::new()),
        Effect::Answers(after, answer) => {
            let lines = indented(&answer.lines());
            (after, format!("answers the client itself:\n{lines}"))
        }
        Effect::Accepts(after, session) => {
            let lines = indented(&format!("{session:#}"));
            (
                after,
                format!("accepts the caller, with the session:\n{lines}"),
            )
        }
        Effect::Rejects(after) => (
            after,
            "rejects the caller: there is no session with a metadata entry `token`\n".to_owned(),
        ),
    };
    diff(&before.lines(), &after.lines(), paint) + &more
}

fn diff(before: &str, after: &str, paint: Paint) -> String {
    if before == after {
        return "nothing changed\n".to_owned();
    }
    let diff = TextDiff::from_lines(before, after);
    let unified = diff.unified_diff().context_radius(CONTEXT).to_string();
    unified
        .lines()
        .map(|line| paint.line(line) + "\n")
        .collect()
}

fn record_text(outcome: &Outcome) -> String {
    let mut text = String::new();
    let record = &outcome.record;
    for (level, message) in &record.logs {
        let level = format!("{level:?}").to_lowercase();
        text.push_str(&format!("log {level}: {message}\n"));
    }
    for (name, payload) in &record.events {
        text.push_str(&format!("event {name}: {payload}\n"));
    }
    for (key, (value, ttl)) in &record.data {
        let value = String::from_utf8_lossy(value);
        let ttl = match ttl {
            0 => "without end".to_owned(),
            seconds => format!("for {seconds} s"),
        };
        text.push_str(&format!("stored {key} {ttl}: {value}\n"));
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Colours, where somebody looks who wants them.
#[derive(Clone, Copy)]
pub(super) struct Paint(bool);

impl Paint {
    pub(super) fn of_terminal() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(std::io::stdout().is_terminal() && !refused)
    }

    fn line(self, line: &str) -> String {
        let colour = match line.as_bytes().first() {
            _ if !self.0 => return line.to_owned(),
            Some(b'+') => 32,
            Some(b'-') => 31,
            Some(b'@') => 36,
            _ => return line.to_owned(),
        };
        format!("\x1b[{colour}m{line}\x1b[0m")
    }
}

/// Whoever reads may have gone; that is no failure of the hook.
pub(super) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// A failed comparison: what was expected and what there was.
pub(super) fn mismatch(expected: &Value, found: &Value) -> String {
    let (expected, found) = (format!("{expected:#}\n"), format!("{found:#}\n"));
    let paint = Paint::of_terminal();
    indented(&diff(&expected, &found, paint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let times = (1..=200).rev().map(Duration::from_micros).collect();
        let times = Times::of(times);
        assert_eq!(times.median, Duration::from_micros(101));
        assert_eq!(times.p99, Duration::from_micros(199));
        let one = Times::of(vec![Duration::from_micros(7)]);
        assert_eq!((one.calls, one.p99), (1, Duration::from_micros(7)));
    }

    #[test]
    fn only_who_wants_colours_gets_them() {
        for (paint, line, expected) in [
            (Paint(true), "+a", "\x1b[32m+a\x1b[0m"),
            (Paint(true), " a", " a"),
            (Paint(false), "-a", "-a"),
        ] {
            assert_eq!(paint.line(line), expected);
        }
    }
}
