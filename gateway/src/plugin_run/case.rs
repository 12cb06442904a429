//! `gateway plugin test`: cases in JSON files, each a request and what must become of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use coprocess_core::LanguageRegistry;
use serde::Deserialize;
use serde_json::Value;

use super::call::Runner;
use super::code::{Code, parse_type};
use super::input::{self, Input};
use super::{Problem, TestArguments, show};
use crate::config::Config;

/// Where cases are, beside the code.
const FOLDER: &str = "tests";

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    hook: String,
    #[serde(default, rename = "type")]
    hook_type: Option<String>,
    /// A request, or the name of the file that it is in.
    #[serde(default)]
    request: Value,
    /// What the result has to have; see [`missing`].
    expect: Value,
}

/// Runs all cases. The exit code says whether all of them passed.
pub(super) fn run_all(
    arguments: &TestArguments,
    config: Config,
    registry: &LanguageRegistry,
) -> Result<ExitCode, Problem> {
    let code = Code::find(&arguments.code, &config)?;
    let places = match arguments.cases.as_slice() {
        [] => vec![code.root().join(FOLDER)],
        named => named.to_vec(),
    };
    let mut files = Vec::new();
    for place in &places {
        files.extend(cases_in(place).map_err(Problem::Usage)?);
    }
    if files.is_empty() {
        let places: Vec<_> = places
            .iter()
            .map(|place| place.display().to_string())
            .collect();
        let text = format!("no case (*.json) in {}", places.join(", "));
        return Err(Problem::Usage(text));
    }
    let runner = Runner::start(config, registry);
    let mut failed = 0;
    for file in &files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        match check(&runner, &code, file)? {
            None => show::print(&format!("ok      {name}\n")),
            Some(problem) => {
                failed += 1;
                show::print(&format!("FAILED  {name}\n{problem}"));
            }
        }
    }
    show::print(&format!(
        "{} passed, {failed} failed\n",
        files.len() - failed
    ));
    Ok(ExitCode::from(u8::from(failed > 0)))
}

fn cases_in(place: &Path) -> Result<Vec<PathBuf>, String> {
    if place.is_file() {
        return Ok(vec![place.to_owned()]);
    }
    let wrong = |error| format!("cannot read cases in {}: {error}", place.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(place).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Runs one case; what does not match is the outcome, a file that is no case an error.
fn check(runner: &Runner<'_>, code: &Code, file: &Path) -> Result<Option<String>, Problem> {
    let text = fs::read_to_string(file)
        .map_err(|error| Problem::Usage(format!("{}: {error}", file.display())))?;
    let wrong = |error| Problem::Usage(format!("{}: {error}", file.display()));
    let case: Case = serde_json::from_str(&text).map_err(wrong)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let input = match case.request {
        Value::Null => Input::default(),
        Value::String(path) => input::read(&folder.join(path))?,
        here => {
            let wrong = |error| {
                let text = format!("{}: request: {error}", file.display());
                Problem::Usage(text)
            };
            let input: Input = serde_json::from_value(here).map_err(wrong)?;
            input.complete(folder)?
        }
    };
    let wanted = parse_type(case.hook_type.as_deref())?;
    // A case must not depend on those before it.
    runner.forget();
    let found = match runner.load(code, &case.hook, wanted) {
        Ok(loaded) => runner.run(&loaded, &input)?.to_json(),
        Err(Problem::Hook(reason)) => serde_json::json!({ "ok": false, "error": reason }),
        Err(usage) => return Err(usage),
    };
    let mut problems = String::new();
    if case.expect.get("error").is_none()
        && let Some(error) = found.get("error").and_then(Value::as_str)
    {
        problems.push_str(&format!("  the hook failed: {error}\n"));
    } else {
        missing("expect", &case.expect, &found, &mut problems);
    }
    Ok((!problems.is_empty()).then_some(problems))
}

/// Compares: an object has to have what the expected one has, and may have more; null means
/// that there is nothing; `error` has to contain the text; all else has to be equal.
fn missing(place: &str, expected: &Value, found: &Value, problems: &mut String) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (key, value) in expected {
                let there = found.get(key).unwrap_or(&Value::Null);
                missing(&format!("{place}.{key}"), value, there, problems);
            }
        }
        (Value::String(part), Value::String(whole)) if place == "expect.error" => {
            if !whole.contains(part.as_str()) {
                problems.push_str(&format!("  {place}: {part:?} is not in {whole:?}\n"));
            }
        }
        _ if expected == found => {}
        _ => {
            problems.push_str(&format!("  {place}:\n"));
            problems.push_str(&show::mismatch(expected, found));
        }
    }
}
