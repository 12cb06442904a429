//! Words that may stand in few places: `unsafe`, names of languages, paths of one machine.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::files::SourceFile;
use super::mask::{line_of, word_offsets};

/// Where the C API lives, the one room of the contract crate that needs `unsafe`.
const C_API: &str = "coprocess-core/src/ffi/";

/// Folders that exist on one machine only. Split, so that this file has none of them.
const MACHINE_FOLDERS: [&str; 3] = [
    concat!("/", "work"),
    concat!("/", "root"),
    concat!("/", "home"),
];

/// `unsafe` belongs to the borders: the C API, and language crates.
pub(crate) fn unsafe_only_at_the_border(file: &SourceFile) -> Vec<Finding> {
    if file.path.starts_with(C_API) || file.path.starts_with("lang-") {
        return Vec::new();
    }
    word_offsets(&file.code, "unsafe")
        .into_iter()
        .map(|at| {
            let message = format!("`unsafe` outside {C_API} and the language crates");
            Finding::new(&file.path, line_of(&file.code, at), message)
        })
        .collect()
}

/// A language crate has one module at most that needs `unsafe`, so that a reviewer knows
/// where to look.
pub(crate) fn one_unsafe_module_per_language(files: &[SourceFile]) -> Vec<Finding> {
    let mut modules: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in files {
        let Some((package, module)) = file.path.split_once("/src/") else {
            continue;
        };
        if package.starts_with("lang-") && !word_offsets(&file.code, "unsafe").is_empty() {
            // A module is a file, or a folder of them.
            let name = module.split('/').next().unwrap_or(module);
            modules
                .entry(package)
                .or_default()
                .insert(name.trim_end_matches(".rs"));
        }
    }
    modules
        .into_iter()
        .filter(|(_, names)| names.len() > 1)
        .map(|(package, names)| {
            let path = format!("{package}/src/lib.rs");
            let message = format!("`unsafe` in more than one module: {names:?}");
            Finding::new(&path, 1, message)
        })
        .collect()
}

/// The gateway does not know which languages there are; only one file of it does.
pub(crate) fn language_names(file: &SourceFile, languages: &[String]) -> Vec<Finding> {
    if !file.path.starts_with("gateway/src/") || file.path == "gateway/src/languages.rs" {
        return Vec::new();
    }
    let text = file.text.to_lowercase();
    let mut findings = Vec::new();
    for language in languages {
        for at in word_offsets(&text, language) {
            let message =
                format!("names the language `{language}`; the gateway knows languages as drivers");
            findings.push(Finding::new(&file.path, line_of(&text, at), message));
        }
    }
    findings
}

/// Paths that exist only where somebody works.
pub(crate) fn absolute_paths(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for folder in MACHINE_FOLDERS {
            let found = line.match_indices(folder).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = line[at + folder.len()..].chars().next();
                !before.is_some_and(|c| c.is_alphanumeric() || "._-/}$)*~".contains(c))
                    && after == Some('/')
            });
            if found {
                let message = format!("`{folder}/` is a path of one machine");
                findings.push(Finding::new(&file.path, index + 1, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNSAFE: &str = concat!("fn f() { un", "safe { g() } }\n");

    #[test]
    fn unsafe_is_found_outside_the_border() {
        let found = |path| unsafe_only_at_the_border(&SourceFile::new(path, UNSAFE)).len();
        assert_eq!(found("gateway/src/router.rs"), 1);
        assert_eq!(found("coprocess-core/src/object.rs"), 1);
        assert_eq!(found("coprocess-core/src/ffi/guard.rs"), 0);
        assert_eq!(found("lang-foo/src/raw.rs"), 0);
        let mention = SourceFile::new("gateway/src/a.rs", "#![forbid(unsafe_code)] // unsafe\n");
        assert_eq!(unsafe_only_at_the_border(&mention), []);
    }

    #[test]
    fn language_crate_has_one_unsafe_module() {
        let file = |path| SourceFile::new(path, UNSAFE);
        let one = [
            file("lang-foo/src/raw/mod.rs"),
            file("lang-foo/src/raw/stack.rs"),
            file("lang-bar/src/raw.rs"),
        ];
        assert_eq!(one_unsafe_module_per_language(&one), []);
        let two = [
            file("lang-foo/src/raw.rs"),
            file("lang-foo/src/dispatch.rs"),
        ];
        assert_eq!(one_unsafe_module_per_language(&two).len(), 1);
    }

    #[test]
    fn language_name_is_found_in_comments_too() {
        let languages = ["python".to_owned()];
        let found = |path, text| language_names(&SourceFile::new(path, text), &languages).len();
        assert_eq!(found("gateway/src/a.rs", "// As Python does.\n"), 1);
        assert_eq!(found("gateway/src/a.rs", "let python_version = 3;\n"), 0);
        assert_eq!(
            found(
                "gateway/src/languages.rs",
                "use lang_python as _; // python\n"
            ),
            0
        );
        assert_eq!(found("lang-python/src/lib.rs", "// python\n"), 0);
    }

    #[test]
    fn path_of_one_machine_is_found() {
        let found = |text: &str| absolute_paths(&SourceFile::new("a.md", text)).len();
        assert_eq!(found(concat!("see /", "home/someone/x")), 1);
        assert_eq!(found(concat!("\"/", "work/x\"")), 1);
        assert_eq!(found("https://example.org/home/page and app/root/x"), 0);
        assert_eq!(found("/homes/x, /rooted"), 0);
    }
}
