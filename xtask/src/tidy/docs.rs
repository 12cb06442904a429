//! What readers rely on: each file says what it is for, and links lead somewhere.

use std::path::Path;

use super::Finding;
use super::files::SourceFile;

/// `//!` on line 1, or right after the inner attributes.
pub(crate) fn opens_with_its_purpose(file: &SourceFile) -> Option<Finding> {
    let mut inside_attribute = false;
    for (index, line) in file.text.lines().enumerate() {
        if line.starts_with("//!") {
            return None;
        }
        if !inside_attribute && !line.starts_with("#![") {
            return Some(Finding::new(
                &file.path,
                index + 1,
                "must open with `//!` and say what the file is for",
            ));
        }
        inside_attribute = !line.trim_end().ends_with(']');
    }
    Some(Finding::new(&file.path, 1, "is empty; remove it"))
}

/// Relative links in Markdown that lead to no file.
pub(crate) fn links(root: &Path, files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
        for (line, target) in relative_links(&file.text) {
            if !root.join(folder).join(&target).exists() {
                let message = format!("the link to `{target}` leads to no file");
                findings.push(Finding::new(&file.path, line, message));
            }
        }
    }
    findings
}

/// Link targets that are paths, with their line; code blocks and code spans hold no links.
fn relative_links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        for (at, _) in prose.match_indices("](") {
            let rest = &prose[at + 2..];
            let target = rest[..rest.find(')').unwrap_or(rest.len())]
                .split(['#', ' '])
                .next()
                .unwrap_or_default();
            if !target.is_empty() && !target.contains(':') {
                links.push((index + 1, target.to_owned()));
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(text: &str) -> bool {
        opens_with_its_purpose(&SourceFile::new("a.rs", text)).is_none()
    }

    #[test]
    fn purpose_comes_first() {
        assert!(opens("//! Purpose.\n"));
        assert!(opens("#![forbid(unsafe_code)]\n//! Purpose.\n"));
        assert!(opens(
            "#![allow(\n    x,\n    reason = \"y\"\n)]\n//! Purpose.\n"
        ));
        assert!(!opens("\n//! Purpose.\n"));
        assert!(!opens("use std::fmt;\n//! Purpose.\n"));
        assert!(!opens("// A banner.\n//! Purpose.\n"));
        assert!(!opens(""));
    }

    #[test]
    fn only_paths_are_links_to_check() {
        let text = "[a](b.md#c) [d](#e) [f](https://x.org/y) `[g](h)` [i](j/k.md \"l\")\n\
                    ```\n[m](n.md)\n```\n[o](p.md)\n";
        let found = relative_links(text);
        let expected = [(1, "b.md"), (1, "j/k.md"), (5, "p.md")];
        assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())));
    }

    #[test]
    fn link_to_nowhere_is_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = |text: &str| [SourceFile::new("src/a.md", text)];
        assert_eq!(links(root, &file("[x](main.rs) [y](../Cargo.toml)")), []);
        let findings = links(root, &file("\n[x](no-such-file.md)"));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 2);
    }
}
