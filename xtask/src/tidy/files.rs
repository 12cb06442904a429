//! The files that belong to the repository.

use std::path::Path;
use std::process::Command;

use super::mask;
use crate::Result;

/// A text file of the repository.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// For Rust: the text with comments and the insides of literals blanked out.
    pub(crate) code: String,
}

impl SourceFile {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") {
            mask::mask(text)
        } else {
            String::new()
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
        }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// Every text file that is tracked or about to be.
pub(crate) fn all(root: &Path) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for path in paths(root)? {
        // A file that is gone is about to be removed; one that is no text has no lines.
        if let Ok(text) = std::fs::read_to_string(root.join(&path)) {
            files.push(SourceFile::new(&path, &text));
        }
    }
    if files.is_empty() {
        return Err(format!("no files found below {}", root.display()).into());
    }
    Ok(files)
}

/// Git knows what belongs here. A tree that came as an archive has no Git: there, everything
/// that is no build output does.
fn paths(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output();
    let mut paths: Vec<String> = match output {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout)?
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect(),
        _ => {
            let mut paths = Vec::new();
            walk(root, "", &mut paths)?;
            paths
        }
    };
    paths.sort();
    paths.dedup();
    Ok(paths)
}

fn walk(folder: &Path, prefix: &str, paths: &mut Vec<String>) -> Result {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if [".git", "target", "__pycache__"].contains(&name.as_str()) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{path}/"), paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walk_finds_what_git_finds_and_no_build_output() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut walked = Vec::new();
        walk(root, "", &mut walked).unwrap();
        let listed = paths(root).unwrap();
        for path in ["Cargo.toml", "src/main.rs", "src/tidy/files.rs"] {
            assert!(walked.contains(&path.to_owned()), "{walked:?}");
            assert!(listed.contains(&path.to_owned()), "{listed:?}");
        }
    }
}
