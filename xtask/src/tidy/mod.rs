//! Rules of this repository that no compiler checks; CONTRIBUTING.md gives their reasons.

mod arrows;
mod budget;
mod cfg;
mod docs;
mod files;
mod languages;
mod mask;
mod table;
mod words;

use std::fmt;

use crate::Result;
use crate::metadata::Metadata;
use files::SourceFile;

/// A broken rule, printed as `path:line: message`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Prints every finding; an error when there are any.
pub(crate) fn run(metadata: &Metadata) -> Result {
    let findings = findings(metadata)?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy");
            Ok(())
        }
        count => Err(format!("{count} findings").into()),
    }
}

fn findings(metadata: &Metadata) -> Result<Vec<Finding>> {
    let files = files::all(&metadata.root)?;
    let languages: Vec<String> = metadata
        .languages()?
        .into_iter()
        .map(|language| language.feature)
        .collect();
    let mut findings = arrows::check(metadata)?;
    for file in &files {
        findings.extend(check_file(file, &languages));
    }
    findings.extend(words::one_unsafe_module_per_language(&files));
    findings.extend(languages::lines(&files, &languages));
    findings.extend(docs::links(&metadata.root, &files));
    findings.extend(table::check(&files));
    findings.sort();
    Ok(findings)
}

fn check_file(file: &SourceFile, languages: &[String]) -> Vec<Finding> {
    let mut findings = words::absolute_paths(file);
    findings.extend(budget::file(file));
    if file.is_rust() {
        findings.extend(docs::opens_with_its_purpose(file));
        findings.extend(budget::functions(file));
        findings.extend(cfg::check(file));
        findings.extend(words::unsafe_only_at_the_border(file));
        findings.extend(words::language_names(file, languages));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let findings = findings(&Metadata::load().unwrap()).unwrap();
        let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}
