//! The keys of `coprocess_options` that Python reads, and what their values may be.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use coprocess_core::{InitError, Placement};
use serde_json::{Map, Value};

/// `major.minor` of the library that this binary is linked to.
pub(crate) const LINKED_VERSION: &str = env!("COPROCESS_PYTHON_VERSION");

/// The interpreter of the installation that the library belongs to.
const LINKED_EXECUTABLE: &str = env!("COPROCESS_PYTHON_EXECUTABLE");

/// The keys, for the registration.
pub(crate) const KEYS: &[&str] = &[
    "python_executable",
    "python_venv",
    "python_version",
    "python_path_prefix",
    "python_import_timeout_ms",
    "python_max_concurrency",
    "python_queue",
    "python_max_stuck_threads",
    "python_dispatch",
    "python_fast_json",
];

/// The options of Python, checked.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// What the interpreter takes itself to be; its library folders are found from here.
    pub(crate) program: PathBuf,
    /// A folder put in front of `sys.path`.
    pub(crate) path_prefix: Option<String>,
    /// How long importing one file may take.
    pub(crate) import_timeout: Duration,
    /// How many calls of one plugin run at the same time.
    pub(crate) max_concurrency: usize,
    /// How many calls of one plugin may wait.
    pub(crate) queue: usize,
    /// How many threads may be held by hooks that do not end.
    pub(crate) max_stuck: usize,
    pub(crate) mode: Mode,
    /// Whether `json.loads` and `json.dumps` are replaced by faster ones.
    pub(crate) fast_json: bool,
}

/// Where hooks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// In place once a hook has proved short, else on a thread.
    Auto,
    /// In place, always.
    Inline,
    /// On a thread of the host, always.
    Thread,
}

impl From<Placement> for Mode {
    fn from(placement: Placement) -> Self {
        match placement {
            Placement::Auto => Self::Auto,
            Placement::Inline => Self::Inline,
            Placement::Thread => Self::Thread,
        }
    }
}

impl Options {
    /// Reads and checks the options; keys of others are left alone.
    pub(crate) fn read(options: &Map<String, Value>) -> Result<Self, InitError> {
        check_version(options)?;
        Ok(Self {
            program: program(options)?,
            path_prefix: text(options, "python_path_prefix")?.map(str::to_owned),
            import_timeout: Duration::from_millis(number(
                options,
                "python_import_timeout_ms",
                10_000,
                1..=600_000,
            )? as u64),
            max_concurrency: number(options, "python_max_concurrency", 16, 1..=1024)?,
            queue: number(options, "python_queue", 1024, 0..=1_000_000)?,
            max_stuck: number(options, "python_max_stuck_threads", 64, 0..=1024)?,
            mode: mode(options)?,
            fast_json: flag(options, "python_fast_json", true)?,
        })
    }
}

fn program(options: &Map<String, Value>) -> Result<PathBuf, InitError> {
    if let Some(folder) = text(options, "python_venv")? {
        let root = Path::new(folder);
        if !root.is_dir() {
            return Err(refused("python_venv", format!("no such folder: {folder}")));
        }
        if !root.join("pyvenv.cfg").is_file() {
            return Err(refused(
                "python_venv",
                format!("{folder} is not a virtual environment: it has no pyvenv.cfg"),
            ));
        }
        return same_version("python_venv", root.join("bin").join("python"));
    }
    if let Some(path) = text(options, "python_executable")? {
        return same_version("python_executable", PathBuf::from(path));
    }
    Ok(PathBuf::from(LINKED_EXECUTABLE))
}

/// Accepts an interpreter whose packages fit the linked library.
fn same_version(key: &str, program: PathBuf) -> Result<PathBuf, InitError> {
    let shown = program.display();
    let output = Command::new(&program)
        .args(["-I", "-S", "-c"])
        .arg("import sys; print('%d.%d' % sys.version_info[:2])")
        .output()
        .map_err(|error| refused(key, format!("cannot run {shown}: {error}")))?;
    let version = String::from_utf8_lossy(&output.stdout);
    let version = version.trim();
    if version == LINKED_VERSION {
        return Ok(program);
    }
    Err(refused(
        key,
        format!("{shown} is Python {version:?}, this binary is linked to {LINKED_VERSION}"),
    ))
}

fn check_version(options: &Map<String, Value>) -> Result<(), InitError> {
    let Some(wanted) = text(options, "python_version")? else {
        return Ok(());
    };
    let mut wanted_parts = wanted.split('.');
    let agrees = LINKED_VERSION
        .split('.')
        .all(|part| wanted_parts.next().is_none_or(|wanted| wanted == part));
    if agrees {
        return Ok(());
    }
    Err(refused(
        "python_version",
        format!("{wanted:?} is asked for, this binary is linked to {LINKED_VERSION}"),
    ))
}

fn mode(options: &Map<String, Value>) -> Result<Mode, InitError> {
    match text(options, "python_dispatch")? {
        None | Some("auto") => Ok(Mode::Auto),
        Some("inline") => Ok(Mode::Inline),
        Some("thread") => Ok(Mode::Thread),
        Some(other) => Err(refused(
            "python_dispatch",
            format!("{other:?} is none of \"auto\", \"inline\", \"thread\""),
        )),
    }
}

/// A text option; empty text counts as absent, as in the gateways that set all keys.
fn text<'a>(options: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, InitError> {
    match options.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(refused(key, format!("expected text, got {other}"))),
    }
}

fn number(
    options: &Map<String, Value>,
    key: &str,
    default: usize,
    range: std::ops::RangeInclusive<usize>,
) -> Result<usize, InitError> {
    let Some(value) = options.get(key) else {
        return Ok(default);
    };
    value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let (low, high) = (range.start(), range.end());
            refused(
                key,
                format!("expected a whole number from {low} to {high}, got {value}"),
            )
        })
}

fn flag(options: &Map<String, Value>, key: &str, default: bool) -> Result<bool, InitError> {
    let Some(value) = options.get(key) else {
        return Ok(default);
    };
    value
        .as_bool()
        .ok_or_else(|| refused(key, format!("expected true or false, got {value}")))
}

fn refused(key: &str, reason: String) -> InitError {
    InitError::Option {
        key: key.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Options, String> {
        let options = serde_json::from_str(text).unwrap();
        Options::read(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let options = read("{}").unwrap();
        assert_eq!(options.program, Path::new(LINKED_EXECUTABLE));
        assert_eq!(options.import_timeout, Duration::from_secs(10));
        assert_eq!((options.max_concurrency, options.queue), (16, 1024));
        assert_eq!(options.mode, Mode::Auto);
        assert!(options.fast_json);
    }

    #[test]
    fn values_that_cannot_be_used_are_named() {
        for (text, expected) in [
            (
                r#"{"python_queue": -1}"#,
                "python_queue: expected a whole number",
            ),
            (
                r#"{"python_dispatch": "fast"}"#,
                "python_dispatch: \"fast\" is none of",
            ),
            (
                r#"{"python_version": "2.7"}"#,
                "python_version: \"2.7\" is asked for",
            ),
            (
                r#"{"python_venv": "/no/such"}"#,
                "python_venv: no such folder: /no/such",
            ),
            (
                r#"{"python_executable": "/no/such"}"#,
                "python_executable: cannot run",
            ),
            (
                r#"{"python_fast_json": "no"}"#,
                "python_fast_json: expected true or false, got \"no\"",
            ),
            (
                r#"{"python_executable": 3}"#,
                "python_executable: expected text, got 3",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn the_linked_version_is_accepted_in_short_and_long_form() {
        for version in [LINKED_VERSION, LINKED_VERSION.split('.').next().unwrap()] {
            read(&format!(r#"{{"python_version": "{version}"}}"#)).unwrap();
        }
    }
}
