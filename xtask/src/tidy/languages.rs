//! How much of the gateway a language touches: its manifest and one file, and little of both.

use super::Finding;
use super::files::SourceFile;
use super::mask::word_offsets;

/// Where a language is named, how often, and what begins a comment there.
const PLACES: [(&str, usize, &str); 2] = [
    // The dependency, whose name is the feature, and what `coprocess` turns on in it.
    ("gateway/Cargo.toml", 2, "#"),
    ("gateway/src/languages.rs", 1, "//"),
];

/// A language is two lines of the gateway's manifest and one of `languages.rs`. The rest of
/// the gateway does not know it; that is a rule of its own.
pub(crate) fn lines(files: &[SourceFile], languages: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, wanted, comment) in PLACES {
        for file in files.iter().filter(|file| file.path == path) {
            for language in languages {
                let found = naming(&file.text, language, comment);
                if found != wanted {
                    let message =
                        format!("language `{language}` is on {found} lines, it should be {wanted}");
                    findings.push(Finding::new(path, 1, message));
                }
            }
        }
    }
    findings
}

fn naming(text: &str, language: &str, comment: &str) -> usize {
    let code = text.lines().map(|line| match line.split_once(comment) {
        Some((code, _)) => code,
        None => line,
    });
    code.filter(|line| !word_offsets(line, language).is_empty())
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_that_touches_more_is_found() {
        let manifest = "coprocess = [\n    \"foo?/embed\",\n]\n# About foo.\n\
                        foo = { package = \"lang-foo\" }\n";
        let room = "//! Not foo.\nlanguages! {\n    \"foo\" => foo,\n}\n";
        let check = |manifest: &str, room: &str| {
            let files = [
                SourceFile::new("gateway/Cargo.toml", manifest),
                SourceFile::new("gateway/src/languages.rs", room),
            ];
            lines(&files, &["foo".to_owned()]).len()
        };
        assert_eq!(check(manifest, room), 0);
        assert_eq!(check(&format!("{manifest}x = [\"foo\"]\n"), room), 1);
        assert_eq!(check(manifest, ""), 1);
    }
}
