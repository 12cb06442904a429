//! Where a feature may be asked for. A feature decides what is linked; what the program does
//! is decided by what is registered, so the rest of the code has no second form to test.

use super::Finding;
use super::files::SourceFile;

/// Reports every question for a feature outside the listed places.
pub(crate) fn check(file: &SourceFile) -> Vec<Finding> {
    let code: Vec<&str> = file.code.lines().collect();
    let mut findings = Vec::new();
    for (index, line) in code.iter().enumerate() {
        if !asks_for_feature(line) || allowed(&file.path, index, &code) {
            continue;
        }
        findings.push(Finding::new(
            &file.path,
            index + 1,
            "asks for a feature here; choose by what is registered, or link it in \
             gateway/src/languages.rs",
        ));
    }
    findings
}

/// `feature = "…"`, whose text the mask has blanked.
fn asks_for_feature(line: &str) -> bool {
    line.match_indices("feature").any(|(at, word)| {
        let before = line[..at].trim_end();
        let after = line[at + word.len()..].trim_start();
        (before.is_empty() || before.ends_with(['(', ',']))
            && after.starts_with('=')
            && !after.starts_with("==")
    })
}

fn allowed(path: &str, index: usize, code: &[&str]) -> bool {
    let in_language = path.starts_with("lang-");
    let next_is_mod = |prefixes: &[&str]| {
        code[index + 1..]
            .iter()
            .find(|line| !line.trim().is_empty() && !line.trim().starts_with("#["))
            .is_some_and(|line| {
                let item = line.trim().trim_start_matches("pub ");
                prefixes.iter().any(|prefix| item.starts_with(prefix))
            })
    };
    match path {
        "gateway/src/languages.rs" | "gateway/build.rs" => true,
        "tests/it/main.rs" | "tests/linked/main.rs" => next_is_mod(&["mod ", "use "]),
        "coprocess-core/src/lib.rs" => next_is_mod(&["mod conformance;"]),
        _ if in_language && path.ends_with("/build.rs") => true,
        // The crate, or a test of it, is empty without its interpreter. Its documentation comes
        // before the attribute, because what comes after it is not there either.
        _ if in_language => code[index].starts_with("#![cfg("),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&SourceFile::new(path, text))
            .into_iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn feature_outside_the_list_is_found() {
        let gate = concat!("fn f() {}\n#[cfg(", "feature = \"python\")]\nfn g() {}\n");
        assert_eq!(lines("gateway/src/router.rs", gate), [2]);
        assert_eq!(lines("lang-foo/src/lib.rs", gate), [2]);
        assert_eq!(lines("tests/it/main.rs", gate), [2]);
        assert_eq!(lines("coprocess-core/src/lib.rs", gate), [2]);
        assert_eq!(lines("gateway/src/languages.rs", gate), NONE);
        assert_eq!(lines("lang-foo/build.rs", gate), NONE);
        let split = concat!(
            "#[cfg(all(\n    unix,\n    ",
            "feature = \"x\"\n))]\nfn g() {}\n"
        );
        assert_eq!(lines("gateway/src/router.rs", split), [3]);
        let call = concat!("fn f() -> bool { cfg!(", "feature = \"x\") }\n");
        assert_eq!(lines("gateway/src/router.rs", call), [1]);
    }

    #[test]
    fn listed_places_may_ask() {
        let first = concat!("#![cfg(", "feature = \"embed\")]\n//! A language.\n");
        assert_eq!(lines("lang-foo/src/lib.rs", first), NONE);
        let second = concat!("//! A language.\n#![cfg(", "feature = \"embed\")]\n");
        assert_eq!(lines("lang-foo/src/lib.rs", second), NONE);
        assert_eq!(lines("gateway/src/lib.rs", first), [1]);
        let gated_mod = concat!("#[cfg(", "feature = \"python\")]\nmod python;\n");
        assert_eq!(lines("tests/it/main.rs", gated_mod), NONE);
        let conformance = concat!("#[cfg(", "feature = \"c\")]\npub mod conformance;\n");
        assert_eq!(lines("coprocess-core/src/lib.rs", conformance), NONE);
        assert_eq!(lines("gateway/src/lib.rs", conformance), [1]);
    }

    #[test]
    fn other_uses_of_the_word_are_none() {
        let text = "// feature = \"x\"\nlet feature = 1;\nif feature == 2 {}\n";
        assert_eq!(lines("gateway/src/router.rs", text), NONE);
    }
}
