//! One command: shown as a line that can be copied, and run with its output streamed.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::Result;

/// A command with the environment that it needs beyond the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    env: Vec<(&'static str, String)>,
    argv: Vec<String>,
}

impl Step {
    /// `cargo` with these words; empty ones are left out.
    pub(crate) fn cargo(words: &str) -> Self {
        Self {
            env: Vec::new(),
            argv: std::iter::once("cargo")
                .chain(words.split_whitespace())
                .map(str::to_owned)
                .collect(),
        }
    }

    /// A program with arguments, neither of them split.
    pub(crate) fn program(argv: &[&str]) -> Self {
        Self {
            env: Vec::new(),
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
        }
    }

    pub(crate) fn env(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    /// Prints the command, runs it in `root` and streams its output.
    pub(crate) fn run(&self, root: &Path) -> Result {
        println!("$ {self}");
        let status = self
            .command(root)
            .status()
            .map_err(|error| self.cannot_start(&error))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("`{self}` ended with {status}").into())
        }
    }

    /// Prints the command and runs it in `root`; its standard output is the result, whatever
    /// its exit status.
    pub(crate) fn capture(&self, root: &Path) -> Result<Output> {
        println!("$ {self}");
        self.command(root)
            .stdout(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .map_err(|error| self.cannot_start(&error).into())
    }

    /// As [`Step::capture`], but a failure of the command is an error and the output is text.
    pub(crate) fn read(&self, root: &Path) -> Result<String> {
        let output = self.capture(root)?;
        if !output.status.success() {
            return Err(format!("`{self}` ended with {}", output.status).into());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, root: &Path) -> Command {
        let mut command = Command::new(self.executable());
        command
            .args(&self.argv[1..])
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(root)
            .stdin(Stdio::null());
        command
    }

    // Cargo tells its children which cargo it is; another one might not fit the lock file.
    fn executable(&self) -> OsString {
        match self.argv[0].as_str() {
            "cargo" => std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
            program => program.into(),
        }
    }

    fn cannot_start(&self, error: &std::io::Error) -> String {
        format!("cannot run `{self}`: {error}")
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        let words: Vec<String> = self.argv.iter().map(|word| quoted(word)).collect();
        f.write_str(&words.join(" "))
    }
}

/// `word` as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_can_be_copied_into_a_shell() {
        let step = Step::cargo("doc --no-deps  --features a,b").env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(
            step.to_string(),
            "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --features a,b"
        );
        assert_eq!(
            Step::program(&["echo", "it's"]).to_string(),
            r"echo 'it'\''s'"
        );
    }

    #[test]
    fn failure_names_the_command() {
        let error = Step::program(&["false"]).run(Path::new(".")).unwrap_err();
        assert!(error.to_string().contains("`false` ended with"), "{error}");
        let error = Step::program(&["no-such-program"])
            .run(Path::new("."))
            .unwrap_err();
        assert!(error.to_string().contains("cannot run"), "{error}");
    }
}
