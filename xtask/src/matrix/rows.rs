//! Which rows there are. Languages come from the metadata, so a new one needs no edit here.

use super::checks::Check;
use crate::metadata::Language;
use crate::setup::NODE;
use crate::step::Step;

/// What the gateway's own tests need, whatever the features.
pub(crate) const SUITE: &str = "suite";

/// One row: a name, what it needs beyond a Rust toolchain, and its checks in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Interpreter crates, or a word that `setup` knows.
    pub(crate) needs: Vec<String>,
    pub(crate) checks: Vec<Check>,
}

/// One choice of features.
struct Choice {
    name: String,
    /// The words behind `cargo <command>`.
    arguments: String,
    /// What `gateway version` must list.
    languages: String,
    /// The interpreter crates that it builds.
    needs: Vec<String>,
    /// A language that must have no effect here.
    without_effect: Option<Language>,
    /// Languages whose interpreter must be in the graph.
    embedded: Vec<Language>,
    tests: Tests,
}

/// Which tests a choice needs. The suite takes minutes, so all of it runs without languages and
/// with all of them.
#[derive(Clone, Copy)]
enum Tests {
    /// All of them.
    All,
    /// Those that look at what is linked: the graph is the plain one, which has a row.
    OfTheChoice,
    /// Those of the one language and of what is missing: all others know no language, and run in
    /// the plain row and in that of all languages.
    OfTheLanguage,
    /// None: the languages are those of the row before, and clippy's row compiles the tests.
    None,
}

/// All rows, ordered so that each one finds most of its dependencies built.
pub(crate) fn rows(languages: &[Language]) -> Vec<Row> {
    let choices = choices(languages);
    let mut rows = vec![command_row("fmt", "fmt --all --check", &[])];
    rows.extend(choices.iter().map(test_row));
    // Behind fmt, plain and the single languages: the order in which a reader meets the flags.
    let after_languages = 2 + languages.len();
    rows.insert(after_languages, refused_row(languages));
    rows.push(command_row(
        "coprocess-core",
        "test -p coprocess-core --all-features",
        &[],
    ));
    // The languages' benches are tests of their packages. The gateway has a row of tests per
    // choice, and its benches need none of them.
    rows.push(command_row("benches", "test -p gateway --bench parts", &[]));
    rows.push(command_row("xtask", "test -p xtask", &["xtask".to_owned()]));
    rows.extend(languages.iter().map(|language| {
        let command = format!("test -p {}", language.package);
        command_row(&language.package, &command, &language.embedded)
    }));
    // A language alone leaves the plain sources, which its row has built.
    let has_sources = |choice: &&Choice| choice.without_effect.is_none();
    rows.extend(choices.iter().filter(has_sources).map(lint_row));
    rows.extend(choices.iter().filter(has_sources).map(docs_row));
    rows.push(template_row());
    rows
}

fn choices(languages: &[Language]) -> Vec<Choice> {
    let names = |chosen: &[Language]| -> Vec<String> {
        chosen.iter().map(|one| one.feature.clone()).collect()
    };
    let with = |chosen: &[Language]| {
        let features = format!("coprocess,{}", names(chosen).join(","));
        Choice {
            arguments: format!("--features {features}"),
            name: features,
            languages: names(chosen).join(", "),
            needs: needs(chosen),
            without_effect: None,
            embedded: chosen.to_vec(),
            tests: match chosen {
                [_] if languages.len() > 1 => Tests::OfTheLanguage,
                _ => Tests::All,
            },
        }
    };
    let plain = |name: &str, arguments: String, without_effect| Choice {
        name: name.to_owned(),
        arguments,
        languages: "dummy".to_owned(),
        needs: Vec::new(),
        tests: match without_effect {
            None => Tests::All,
            Some(_) => Tests::OfTheChoice,
        },
        without_effect,
        embedded: Vec::new(),
    };

    let mut choices = vec![plain("plain", String::new(), None)];
    choices.extend(languages.iter().map(|language| {
        let feature = &language.feature;
        let arguments = format!("--features {feature}");
        plain(feature, arguments, Some(language.clone()))
    }));
    choices.extend(
        languages
            .iter()
            .map(|language| with(std::slice::from_ref(language))),
    );
    if languages.len() > 1 {
        choices.push(with(languages));
    }
    choices.push(Choice {
        name: "all-features".to_owned(),
        arguments: "--all-features".to_owned(),
        tests: match languages.len() {
            1 => Tests::All,
            _ => Tests::None,
        },
        ..with(languages)
    });
    choices
}

/// The interpreters, and for tests with servers what these run on.
fn needs(languages: &[Language]) -> Vec<String> {
    let mut needs: Vec<String> = languages
        .iter()
        .flat_map(|one| one.embedded.clone())
        .collect();
    if languages.iter().any(|one| one.is_remote) {
        needs.push(NODE.to_owned());
    }
    needs
}

fn test_row(choice: &Choice) -> Row {
    let mut checks = Vec::new();
    if let Some(language) = &choice.without_effect {
        checks.push(Check::GraphEqualsPlain(language.clone()));
    }
    if !choice.embedded.is_empty() {
        checks.push(Check::GraphHasInterpreters {
            languages: choice.embedded.clone(),
            arguments: choice.arguments.clone(),
        });
    }
    let arguments = &choice.arguments;
    checks.push(match choice.tests {
        Tests::All => Check::Passes(Step::cargo(&format!("test {arguments}"))),
        Tests::OfTheChoice => {
            Check::SomeTestsPass(Step::cargo(&format!("test {arguments} --test linked")))
        }
        Tests::OfTheLanguage => {
            let module = &choice.languages;
            Check::SomeTestsPass(Step::cargo(&format!(
                "test {arguments} --test it --test linked -- {module}:: without_"
            )))
        }
        Tests::None => Check::Passes(Step::cargo(&format!("build {arguments}"))),
    });
    checks.push(Check::VersionLists(choice.languages.clone()));
    let mut needs = choice.needs.clone();
    needs.push(SUITE.to_owned());
    Row {
        name: choice.name.clone(),
        needs,
        checks,
    }
}

fn refused_row(languages: &[Language]) -> Row {
    Row {
        name: "coprocess".to_owned(),
        needs: Vec::new(),
        checks: vec![Check::RefusedNaming(
            languages.iter().map(|one| one.feature.clone()).collect(),
        )],
    }
}

/// The language that authors of others begin with, outside of the workspace.
fn template_row() -> Row {
    let manifest = "examples/lang-template/Cargo.toml";
    // The same versions as here, so that what is built already is not built again.
    let lock = Step::program(&["cp", "Cargo.lock", "examples/lang-template/Cargo.lock"]);
    let test = format!("test --manifest-path {manifest} --target-dir target");
    Row {
        name: "lang-template".to_owned(),
        needs: Vec::new(),
        checks: vec![Check::Passes(lock), Check::Passes(Step::cargo(&test))],
    }
}

fn lint_row(choice: &Choice) -> Row {
    // The widest choice also covers what is no default member.
    let scope = if choice.name == "all-features" {
        "--workspace"
    } else {
        ""
    };
    let arguments = &choice.arguments;
    let command = format!("clippy {scope} --all-targets {arguments} -- -D warnings");
    command_row(&format!("clippy {}", choice.name), &command, &choice.needs)
}

fn docs_row(choice: &Choice) -> Row {
    let scope = if choice.name == "all-features" {
        "--workspace"
    } else {
        ""
    };
    let step = Step::cargo(&format!("doc {scope} --no-deps {}", choice.arguments));
    Row {
        name: format!("docs {}", choice.name),
        needs: choice.needs.clone(),
        checks: vec![Check::Passes(step.env("RUSTDOCFLAGS", "-D warnings"))],
    }
}

fn command_row(name: &str, command: &str, needs: &[String]) -> Row {
    Row {
        name: name.to_owned(),
        needs: needs.to_vec(),
        checks: vec![Check::Passes(Step::cargo(command))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(feature: &str) -> Language {
        Language {
            feature: feature.to_owned(),
            package: format!("lang-{feature}"),
            embedded: vec![format!("{feature}-sys")],
            is_remote: false,
        }
    }

    fn names(languages: &[Language]) -> Vec<String> {
        rows(languages).into_iter().map(|row| row.name).collect()
    }

    #[test]
    fn rows_cover_every_choice() {
        let names = names(&[language("bar"), language("foo")]);
        let choices = [
            "plain",
            "bar",
            "foo",
            "coprocess,bar",
            "coprocess,foo",
            "coprocess,bar,foo",
            "all-features",
        ];
        for choice in choices {
            let has_sources = !["bar", "foo"].contains(&choice);
            for (row, wanted) in [
                (choice.to_owned(), true),
                (format!("clippy {choice}"), has_sources),
                (format!("docs {choice}"), has_sources),
            ] {
                assert_eq!(names.contains(&row), wanted, "`{row}` in {names:?}");
            }
        }
        for row in [
            "coprocess",
            "coprocess-core",
            "benches",
            "xtask",
            "lang-bar",
            "fmt",
        ] {
            assert!(
                names.contains(&row.to_owned()),
                "no row `{row}` in {names:?}"
            );
        }
    }

    #[test]
    fn a_language_alone_runs_its_own_module_and_what_is_missing() {
        let rows = rows(&[language("foo"), language("bar")]);
        let row = |name: &str| rows.iter().find(|row| row.name == name);
        let check = &row("coprocess,foo").unwrap().checks[1];
        let own =
            Step::cargo("test --features coprocess,foo --test it --test linked -- foo:: without_");
        assert_eq!(*check, Check::SomeTestsPass(own));
        let check = &row("coprocess,foo,bar").unwrap().checks[1];
        let all = Step::cargo("test --features coprocess,foo,bar");
        assert_eq!(*check, Check::Passes(all));
    }

    #[test]
    fn names_are_unique() {
        let all = names(&[language("foo")]);
        let mut unique = all.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), all.len(), "{all:?}");
    }

    #[test]
    fn language_row_needs_its_interpreter_only_with_coprocess() {
        let rows = rows(&[language("foo")]);
        let needs =
            |name: &str| -> &[String] { &rows.iter().find(|row| row.name == name).unwrap().needs };
        assert_eq!(needs("foo"), [SUITE]);
        assert_eq!(needs("coprocess,foo"), ["foo-sys", SUITE]);
        assert_eq!(needs("lang-foo"), ["foo-sys"]);
    }

    #[test]
    fn language_alone_is_compared_with_the_plain_graph() {
        let rows = rows(&[language("foo")]);
        let row = rows.iter().find(|row| row.name == "foo").unwrap();
        assert_eq!(row.checks[0], Check::GraphEqualsPlain(language("foo")));
        let last = row.checks.last().unwrap();
        assert_eq!(*last, Check::VersionLists("dummy".to_owned()));
    }
}
