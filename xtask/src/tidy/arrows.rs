//! Who may depend on whom. The arrows point from the outside in: a language knows the
//! contract and nothing of the gateway, and the contract knows no runtime and no HTTP stack.

use std::collections::BTreeSet;

use super::Finding;
use crate::Result;
use crate::metadata::{Metadata, Package};
use crate::step::Step;

/// Members that a plain `cargo build` leaves out, beside the crates that embed an
/// interpreter, each with its reason.
const NOT_DEFAULT: &[(&str, &str)] = &[("xtask", "a tool, built when it is run")];

/// What a language author must not have to compile.
const NOT_IN_CORE: &[&str] = &[
    "async-std",
    "axum",
    "hyper",
    "hyper-util",
    "reqwest",
    "smol",
    "tokio",
    "tower",
];

/// All rules about the graph.
pub(crate) fn check(metadata: &Metadata) -> Result<Vec<Finding>> {
    let mut findings = edges(metadata);
    findings.extend(default_members(metadata));
    let tree = Step::cargo("tree -p coprocess-core -e normal --prefix none --quiet")
        .read(&metadata.root)?;
    findings.extend(core_graph(&tree));
    Ok(findings)
}

fn edges(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let local = package.dependencies.iter().filter(|one| one.local);
        for dependency in local {
            if !allowed(&package.name, &dependency.name, &dependency.kind) {
                let message = format!(
                    "{} dependency on {} breaks the arrows in ARCHITECTURE.md",
                    dependency.kind, dependency.name
                );
                findings.push(Finding::new(&manifest(&package.name), 1, message));
            }
        }
    }
    findings
}

fn allowed(from: &str, to: &str, kind: &str) -> bool {
    match from {
        "gateway" => {
            to == "coprocess-core"
                || to.starts_with("lang-")
                || (to == "test-harness" && kind == "dev")
        }
        _ => from.starts_with("lang-") && to == "coprocess-core",
    }
}

fn default_members(metadata: &Metadata) -> Vec<Finding> {
    let left_out = |package: &Package| {
        !package.embedded().is_empty() || NOT_DEFAULT.iter().any(|(name, _)| *name == package.name)
    };
    let expected: BTreeSet<&str> = metadata
        .packages
        .iter()
        .filter(|package| !left_out(package))
        .map(|package| package.name.as_str())
        .collect();
    let found: BTreeSet<&str> = metadata
        .default_members
        .iter()
        .map(String::as_str)
        .collect();
    if expected == found {
        return Vec::new();
    }
    let message = format!(
        "default-members must be every member that embeds no interpreter and has no exception in \
         xtask: missing {:?}, too many {:?}",
        expected.difference(&found).collect::<Vec<_>>(),
        found.difference(&expected).collect::<Vec<_>>()
    );
    vec![Finding::new("Cargo.toml", 1, message)]
}

fn core_graph(tree: &str) -> Vec<Finding> {
    tree.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| NOT_IN_CORE.contains(name))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|name| {
            let message = format!("`{name}` is in the graph; every language would compile it");
            Finding::new(&manifest("coprocess-core"), 1, message)
        })
        .collect()
}

/// Where a member's manifest lies; only the harness has another folder than its name.
fn manifest(package: &str) -> String {
    let folder = if package == "test-harness" {
        "tests"
    } else {
        package
    };
    format!("{folder}/Cargo.toml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;
    use crate::metadata::tests::sample;

    #[test]
    fn only_the_drawn_arrows_are_allowed() {
        for (from, to, kind) in [
            ("gateway", "coprocess-core", "normal"),
            ("gateway", "lang-foo", "normal"),
            ("gateway", "test-harness", "dev"),
            ("lang-foo", "coprocess-core", "normal"),
            ("lang-foo", "coprocess-core", "dev"),
        ] {
            assert!(allowed(from, to, kind), "{from} -> {to} ({kind})");
        }
        for (from, to, kind) in [
            ("gateway", "test-harness", "normal"),
            ("lang-foo", "gateway", "normal"),
            ("lang-foo", "lang-bar", "normal"),
            ("lang-foo", "gateway", "dev"),
            ("coprocess-core", "lang-foo", "dev"),
            ("test-harness", "gateway", "normal"),
            ("xtask", "gateway", "normal"),
        ] {
            assert!(!allowed(from, to, kind), "{from} -> {to} ({kind})");
        }
    }

    #[test]
    fn wrong_edge_is_found_in_its_manifest() {
        let mut metadata = sample();
        assert_eq!(edges(&metadata), []);
        metadata.packages[1].dependencies.push(Dependency {
            name: "gateway".into(),
            rename: None,
            kind: "dev".into(),
            local: true,
        });
        let findings = edges(&metadata);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "lang-foo/Cargo.toml");
    }

    #[test]
    fn default_members_are_the_members_without_an_interpreter() {
        let mut metadata = sample();
        assert_eq!(default_members(&metadata), []);
        metadata.default_members.insert("lang-foo".into());
        let message = default_members(&metadata)[0].to_string();
        assert!(message.contains("too many [\"lang-foo\"]"), "{message}");
    }

    #[test]
    fn runtime_in_the_core_is_found() {
        assert_eq!(core_graph("coprocess-core v0\nbytes v1\n"), []);
        let findings = core_graph("tokio v1\nbytes v1\ntokio v1 (*)\n");
        assert_eq!(findings.len(), 1, "{findings:?}");
    }
}
