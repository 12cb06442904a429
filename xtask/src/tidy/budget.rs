//! How long a file and a function may be. A reader keeps sixty lines in mind, not six hundred.

use super::Finding;
use super::files::SourceFile;
use super::mask::{line_of, word_offsets};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 60;

/// Files of source code; data and prose have no budget.
const SOURCE_ENDINGS: &[&str] = &[".rs", ".py", ".pyx", ".lua", ".c", ".h", ".sh"];

/// Files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Functions that may be longer, as `path` and `name`, each with its reason.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// The file's own length.
pub(crate) fn file(file: &SourceFile) -> Option<Finding> {
    let lines = file.text.lines().count();
    let source = SOURCE_ENDINGS
        .iter()
        .any(|ending| file.path.ends_with(ending));
    let excepted = LONG_FILES.iter().any(|(path, _)| *path == file.path);
    (source && !excepted && lines > FILE_LINES).then(|| {
        let message = format!("{lines} lines; split it, the budget is {FILE_LINES}");
        Finding::new(&file.path, lines, message)
    })
}

/// The length of each function, from its `fn` to its closing brace.
pub(crate) fn functions(file: &SourceFile) -> Vec<Finding> {
    let code = &file.code;
    let mut findings = Vec::new();
    for start in word_offsets(code, "fn") {
        let Some((name, end)) = function(code, start) else {
            continue;
        };
        let first = line_of(code, start);
        let lines = line_of(code, end) - first + 1;
        let excepted = LONG_FUNCTIONS
            .iter()
            .any(|(path, function, _)| *path == file.path && *function == name);
        if lines > FUNCTION_LINES && !excepted {
            let message =
                format!("function `{name}` has {lines} lines; the budget is {FUNCTION_LINES}");
            findings.push(Finding::new(&file.path, first, message));
        }
    }
    findings
}

/// Name and last byte of the function whose `fn` is at `start`; none for a pointer type or a
/// function without a body.
fn function(code: &str, start: usize) -> Option<(&str, usize)> {
    let rest = &code[start + "fn".len()..];
    let trimmed = rest.trim_start();
    let length = trimmed
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(trimmed.len());
    if length == 0 {
        return None;
    }
    let name = &trimmed[..length];
    let mut depth = 0_usize;
    let mut brackets = 0_usize;
    for (offset, byte) in rest.bytes().enumerate() {
        match byte {
            // An array type in the signature has a semicolon of its own.
            b'(' | b'[' if depth == 0 => brackets += 1,
            b')' | b']' if depth == 0 => brackets = brackets.saturating_sub(1),
            b';' if depth == 0 && brackets == 0 => return None,
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some((name, start + "fn".len() + offset));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> SourceFile {
        SourceFile::new(path, text)
    }

    #[test]
    fn long_file_is_found() {
        let long = "x\n".repeat(FILE_LINES + 1);
        assert!(file(&source("a.rs", &long)).is_some());
        assert!(file(&source("a.md", &long)).is_none());
        assert!(file(&source("a.rs", &long[2..])).is_none());
    }

    #[test]
    fn long_function_is_found_at_its_first_line() {
        let body = "    call(\"}\"); // }\n".repeat(FUNCTION_LINES - 1);
        let text = format!("type F = fn(u8);\nfn long() {{\n{body}}}\nfn short() {{}}\n");
        let findings = functions(&source("a.rs", &text));
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].line, 2);
        assert!(findings[0].message.contains("`long` has 61 lines"));
        let shorter = text.replacen("    call(\"}\"); // }\n", "", 1);
        assert_eq!(functions(&source("a.rs", &shorter)), []);
    }

    #[test]
    fn signature_without_a_body_is_no_function() {
        let gap = "\n".repeat(FUNCTION_LINES + 5);
        let text = format!("trait T {{ fn f(x: [u8; 2]); {gap} fn g() {{}} }}");
        assert_eq!(functions(&source("a.rs", &text)), []);
    }
}
