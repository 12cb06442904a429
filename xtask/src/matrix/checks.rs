//! What a row can ask for, and how it is found out.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Result;
use crate::metadata::{Language, Metadata};
use crate::step::Step;

/// The one file whose compile error `--features coprocess` alone may show.
const CHOICE_FILE: &str = "gateway/src/languages.rs";

/// One expectation of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    /// The command succeeds.
    Passes(Step),
    /// The tests whose names the command filters by succeed, and there are some.
    SomeTestsPass(Step),
    /// The gateway just built lists exactly these languages.
    VersionLists(String),
    /// The language's feature alone adds its own, empty crate to the plain dependency graph
    /// and nothing else.
    GraphEqualsPlain(Language),
    /// The graph has what the plain one has not: the interpreters. The other side of
    /// [`Check::GraphEqualsPlain`], which would else pass for a language that is never there.
    GraphHasInterpreters {
        languages: Vec<Language>,
        arguments: String,
    },
    /// `--features coprocess` alone fails with one error of ours that names these languages.
    RefusedNaming(Vec<String>),
}

impl Check {
    /// The commands, for the list.
    pub(crate) fn steps(&self, metadata: &Metadata) -> Vec<Step> {
        match self {
            Self::Passes(step) | Self::SomeTestsPass(step) => vec![step.clone()],
            Self::VersionLists(_) => vec![version(metadata)],
            Self::GraphEqualsPlain(language) => {
                vec![tree(""), tree(&format!("--features {}", language.feature))]
            }
            Self::GraphHasInterpreters { arguments, .. } => vec![tree(""), tree(arguments)],
            Self::RefusedNaming(_) => vec![refused()],
        }
    }

    /// Carries the check out; the error says what was expected and what was found.
    pub(crate) fn run(&self, metadata: &Metadata) -> Result {
        let root = &metadata.root;
        match self {
            Self::Passes(step) => step.run(root),
            Self::SomeTestsPass(step) => {
                let output = step.capture(root)?;
                let text = String::from_utf8_lossy(&output.stdout);
                println!("{text}");
                if !output.status.success() {
                    return Err(format!("`{step}` ended with {}", output.status).into());
                }
                some_passed(&text).ok_or_else(|| format!("`{step}` has run no test").into())
            }
            Self::VersionLists(languages) => {
                expect_languages(languages, &version(metadata).read(root)?)
            }
            Self::GraphEqualsPlain(language) => {
                let plain = packages(&tree("").read(root)?);
                let arguments = format!("--features {}", language.feature);
                equals_plain(language, &plain, &packages(&tree(&arguments).read(root)?))
            }
            Self::GraphHasInterpreters {
                languages,
                arguments,
            } => {
                let plain = packages(&tree("").read(root)?);
                let found = packages(&tree(arguments).read(root)?);
                languages
                    .iter()
                    .try_for_each(|language| has_interpreter(language, &plain, &found))
            }
            Self::RefusedNaming(languages) => {
                let output = refused().capture(root)?;
                if output.status.success() {
                    return Err("`coprocess` without a language was built; it must not be".into());
                }
                expect_refusal(languages, &String::from_utf8_lossy(&output.stdout))
            }
        }
    }
}

fn version(metadata: &Metadata) -> Step {
    let binary = metadata.target_directory.join("debug/gateway");
    let shown = binary.strip_prefix(&metadata.root).unwrap_or(&binary);
    Step::program(&[&shown.to_string_lossy(), "version"])
}

fn tree(arguments: &str) -> Step {
    // Build dependencies count: a build script that looks for an interpreter needs one.
    Step::cargo(&format!(
        "tree -p gateway {arguments} -e normal,build --prefix none --quiet"
    ))
}

fn refused() -> Step {
    Step::cargo("check -p gateway --features coprocess --message-format json")
}

/// The names in the output of `cargo tree --prefix none`.
fn packages(tree: &str) -> BTreeSet<String> {
    tree.lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Something, if the output of a test program tells of tests that passed.
fn some_passed(output: &str) -> Option<()> {
    let mut results = output
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "));
    let some = results.any(|rest| !rest.starts_with("0 passed"));
    some.then_some(())
}

fn expect_languages(languages: &str, output: &str) -> Result {
    let wanted = format!("languages: {languages}");
    if output.lines().any(|line| line.trim() == wanted) {
        println!("{wanted}");
        return Ok(());
    }
    Err(format!("`gateway version` has no line `{wanted}`; it says:\n{output}").into())
}

fn equals_plain(language: &Language, plain: &BTreeSet<String>, found: &BTreeSet<String>) -> Result {
    let added: Vec<&str> = found
        .difference(plain)
        .map(String::as_str)
        .filter(|name| *name != language.package)
        .collect();
    let removed: Vec<&str> = plain.difference(found).map(String::as_str).collect();
    if added.is_empty() && removed.is_empty() && !plain.is_empty() {
        println!("the graph is the plain one, {} packages", plain.len());
        return Ok(());
    }
    Err(format!(
        "`{}` without `coprocess` must leave the plain graph of {} packages as it is; added: \
         {added:?}, removed: {removed:?}",
        language.feature,
        plain.len()
    )
    .into())
}

fn has_interpreter(
    language: &Language,
    plain: &BTreeSet<String>,
    found: &BTreeSet<String>,
) -> Result {
    let interpreter: Vec<&String> = language
        .embedded
        .iter()
        .filter(|name| found.contains(*name) && !plain.contains(*name))
        .collect();
    if interpreter.is_empty() {
        return Err(format!(
            "no interpreter of `{}` in the graph: feature `embed` of {} adds nothing to the plain \
             build",
            language.feature, language.package
        )
        .into());
    }
    println!("in the graph: {interpreter:?}");
    Ok(())
}

/// `output` is Cargo's JSON, one message per line.
fn expect_refusal(languages: &[String], output: &str) -> Result {
    let errors: Vec<Value> = output
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|line| line["message"].clone())
        .filter(|message| message["level"] == "error")
        // rustc ends its report with a count, which is no error of its own.
        .filter(|message| !text(&message["message"]).starts_with("aborting due to"))
        .collect();
    for error in &errors {
        println!("{}", text(&error["rendered"]));
    }
    let [error] = errors.as_slice() else {
        return Err(format!("expected exactly one compile error, found {}", errors.len()).into());
    };
    let message = text(&error["message"]);
    let file = text(&error["spans"][0]["file_name"]);
    if !file.ends_with(CHOICE_FILE) {
        return Err(format!("the error is in {file}, not in {CHOICE_FILE}: {message}").into());
    }
    for word in languages {
        let named = message
            .split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
            .any(|part| part == word);
        if !named {
            return Err(format!("the error does not name the language `{word}`: {message}").into());
        }
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_finds_nothing_is_no_success() {
        let line = |passed| format!("running\ntest result: ok. {passed} passed; 0 failed;\n");
        assert!(some_passed(&line(3)).is_some());
        assert!(some_passed(&(line(0) + &line(12))).is_some());
        assert!(some_passed(&line(0)).is_none());
        assert!(some_passed("").is_none());
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn foo() -> Language {
        Language {
            feature: "foo".into(),
            package: "lang-foo".into(),
            embedded: vec!["foo-sys".into(), "bytes".into()],
            is_remote: false,
        }
    }

    #[test]
    fn tree_is_read_as_names() {
        let tree = "gateway v0.1.0 (somewhere)\nbytes v1.11.0\nbytes v1.11.0 (*)\n\n";
        assert_eq!(packages(tree), set(&["bytes", "gateway"]));
    }

    #[test]
    fn interpreter_in_the_plain_graph_is_found() {
        let plain = set(&["gateway", "bytes"]);
        let with_crate = set(&["gateway", "bytes", "lang-foo"]);
        let with_interpreter = set(&["gateway", "bytes", "lang-foo", "foo-sys"]);
        equals_plain(&foo(), &plain, &with_crate).unwrap();
        let error = equals_plain(&foo(), &plain, &with_interpreter).unwrap_err();
        assert!(error.to_string().contains("foo-sys"), "{error}");
        assert!(equals_plain(&foo(), &set(&[]), &set(&[])).is_err());

        has_interpreter(&foo(), &plain, &with_interpreter).unwrap();
        let error = has_interpreter(&foo(), &plain, &with_crate).unwrap_err();
        assert!(error.to_string().contains("embed"), "{error}");
    }

    #[test]
    fn version_must_list_exactly_the_languages() {
        expect_languages("lua, python", "gateway 1\nlanguages: lua, python\n").unwrap();
        assert!(expect_languages("lua", "languages: lua, python\n").is_err());
        assert!(expect_languages("dummy", "").is_err());
    }

    fn compiler_message(level: &str, text: &str, file: &str) -> String {
        serde_json::json!({
            "reason": "compiler-message",
            "message": {"level": level, "message": text, "spans": [{"file_name": file}]},
        })
        .to_string()
            + "\n"
    }

    #[test]
    fn refusal_is_one_error_of_ours_that_names_the_languages() {
        let languages = ["bar".to_owned(), "foo".to_owned()];
        let ours = compiler_message("error", "choose `bar` or `foo`", CHOICE_FILE);
        let end = compiler_message("error", "aborting due to 1 previous error", "");
        let warning = compiler_message("warning", "unused", "gateway/src/lib.rs");
        expect_refusal(&languages, &format!("{warning}{ours}{end}")).unwrap();

        let unnamed = compiler_message("error", "choose `foo`", CHOICE_FILE);
        let elsewhere = compiler_message("error", "bar foo", "gateway/src/lib.rs");
        for bad in [String::new(), ours.repeat(2), unnamed, elsewhere] {
            assert!(expect_refusal(&languages, &bad).is_err(), "{bad}");
        }
    }
}
