//! Names of bundles and of the files in them: which ones are refused, and why.

use std::path::PathBuf;

/// Longest name of a bundle, and longest path in one, in bytes.
const MOST_BYTES: usize = 1024;

/// Longest part of a path between two slashes: what file systems take.
const MOST_BYTES_OF_PART: usize = 255;

/// Checks `custom_middleware_bundle`, which ends up in a URL or a file's path.
pub(super) fn check_bundle_name(name: &str) -> Result<(), String> {
    if name.contains(',') {
        return Err(
            "several bundles in one API are not supported: name one, without a comma".into(),
        );
    }
    relative(name.trim_start_matches('/')).map(drop)
}

/// A path below some folder. What could lead out of it, or mean two things on two systems,
/// is refused.
pub(super) fn relative(path: &str) -> Result<PathBuf, String> {
    if path.len() > MOST_BYTES {
        return Err(format!("is longer than {MOST_BYTES} bytes"));
    }
    if path.chars().any(char::is_control) {
        return Err("has a control character".into());
    }
    if path.contains('\\') {
        return Err("has a backslash".into());
    }
    if path.starts_with('/') {
        return Err("is an absolute path".into());
    }
    if path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic() {
        return Err("begins with the letter of a drive".into());
    }
    let mut below = PathBuf::new();
    for part in path.split('/').filter(|part| *part != ".") {
        if part == ".." {
            return Err("leads out of the bundle with `..`".into());
        }
        if part.is_empty() {
            return Err("has an empty part".into());
        }
        if part.len() > MOST_BYTES_OF_PART {
            return Err(format!(
                "has a part of more than {MOST_BYTES_OF_PART} bytes"
            ));
        }
        below.push(part);
    }
    if below.as_os_str().is_empty() {
        return Err("is empty".into());
    }
    Ok(below)
}

/// What two paths have in common that are one file where case does not count.
pub(super) fn folded(path: &std::path::Path) -> String {
    path.to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn only_paths_that_stay_below_are_taken() {
        for (path, expected) in [
            ("middleware.py", Some("middleware.py")),
            ("./vendor/./x.py", Some("vendor/x.py")),
            ("a b/ü.txt", Some("a b/ü.txt")),
            ("..x/y..", Some("..x/y..")),
            ("auth:1.zip", Some("auth:1.zip")),
            ("", None),
            (".", None),
            ("/etc/passwd", None),
            ("a//b", None),
            ("a/", None),
            ("../x", None),
            ("a/../b", None),
            ("a/..", None),
            ("C:x", None),
            ("C:\\x", None),
            ("a\\b", None),
            ("a\0b", None),
            ("a\nb", None),
        ] {
            let found = relative(path).ok();
            assert_eq!(found.as_deref(), expected.map(Path::new), "{path:?}");
        }
        assert!(relative(&"x".repeat(256)).is_err());
        assert!(relative(&"x/".repeat(600)).is_err());
    }

    #[test]
    fn a_bundle_has_one_name() {
        assert!(check_bundle_name("team/auth-1.2.zip").is_ok());
        assert!(check_bundle_name("/auth.zip").is_ok());
        let error = check_bundle_name("a.zip,b.zip").expect_err("two names");
        assert!(error.contains("one"), "{error}");
        assert!(check_bundle_name("../auth.zip").is_err());
    }
}
