//! Prints a request, its answer and the verdicts so that a person sees what each plugin did.

use std::io::IsTerminal as _;

use super::http::Message;

/// Where the output goes; colours are for terminals only.
pub(crate) struct Show {
    colours: bool,
}

impl Show {
    /// For standard output.
    pub(crate) fn new() -> Self {
        Self {
            colours: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    /// A heading.
    pub(crate) fn title(&self, text: &str) {
        println!("\n{}", self.paint("1", &format!("── {text}")));
    }

    /// What is sent.
    pub(crate) fn request(&self, message: &Message) {
        self.message('>', "36", message);
    }

    /// What came back.
    pub(crate) fn answer(&self, message: &Message) {
        self.message('<', "35", message);
    }

    /// An expectation that was met.
    pub(crate) fn right(&self, text: &str) {
        println!("  {} {text}", self.paint("32", "ok"));
    }

    /// An expectation that was not.
    pub(crate) fn wrong(&self, text: &str) {
        println!("  {} {text}", self.paint("31", "WRONG"));
    }

    fn message(&self, mark: char, colour: &str, message: &Message) {
        let mut lines = vec![message.start.clone()];
        for (name, value) in &message.headers {
            lines.push(format!("{name}: {value}"));
        }
        let body = pretty(message);
        if !body.is_empty() {
            lines.push(String::new());
            lines.extend(body.lines().map(str::to_owned));
        }
        let mark = self.paint(colour, &mark.to_string());
        for line in lines {
            println!("{mark} {line}");
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// JSON that came on one line is spread out; everything else is shown as it is.
fn pretty(message: &Message) -> String {
    let text = message.text();
    if text.contains('\n') {
        return text;
    }
    serde_json::from_str::<serde_json::Value>(&text)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or(text)
}
