//! What can go wrong at the border to a language, one enum per crossing.

use std::time::Duration;

/// A language cannot start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// An entry of `coprocess_options` has a value that the language cannot use.
    #[error("coprocess_options.{key}: {reason}")]
    Option {
        /// The key below `coprocess_options`.
        key: String,
        /// What was wrong and what is expected.
        reason: String,
    },
    /// The interpreter did not come up.
    #[error("interpreter did not start: {0}")]
    Interpreter(String),
}

/// Plugin code cannot be used. The API that needs it is refused; others go on.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The code does not load: a syntax error, a failing import, a limit.
    #[error("{file}: {message}")]
    Code {
        /// The file, with the line where the language tells it.
        file: String,
        /// What the language said, traceback included.
        message: String,
    },
    /// No function of that name.
    #[error("no function `{name}`; there are: {}", known_list(.known))]
    UnknownHook {
        /// The name that the hook entry asks for.
        name: String,
        /// The functions that were found, in name order.
        known: Vec<String>,
    },
    /// There is such a function, but it cannot serve as a hook.
    #[error("function `{name}`: {reason}")]
    BadHook {
        /// The function.
        name: String,
        /// What is wrong with it and what is expected.
        reason: String,
    },
    /// The language gave up for a reason of its own.
    #[error("{0}")]
    Other(String),
}

fn known_list(known: &[String]) -> String {
    if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    }
}

/// A hook did not do its work. The request is refused.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The hook raised, or returned what is not an answer.
    #[error("{message}")]
    Raised {
        /// The exception's text, first line first; traceback with file and line after it.
        message: String,
    },
    /// The hook ran longer than it may and was stopped or abandoned.
    #[error("hook ran longer than {limit:?}{detail}")]
    TimeLimit {
        /// The limit that was passed.
        limit: Duration,
        /// Where it was and what became of it, starting with `; `, or empty.
        detail: String,
    },
    /// Too many calls wait already.
    #[error("queue is full: {0}")]
    Overloaded(String),
    /// The plugin is switched off after repeated failures that it cannot be trusted to end.
    #[error("plugin is disabled until reload: {0}")]
    Disabled(String),
    /// The language cannot be reached: not initialised, shut down, its server is away.
    #[error("language is not available: {0}")]
    Unavailable(String),
}

/// The set of linked languages cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Nothing registered.
    #[error(
        "no language is linked into this binary, not even the null one; a binary of your own \
         needs `use <language crate> as _;` in its main file"
    )]
    Empty,
    /// Two crates claim one driver.
    #[error("driver `{driver}` is registered by both `{first}` and `{second}`")]
    Duplicate {
        /// The driver's name.
        driver: &'static str,
        /// One language.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
}

/// The gateway could not do what a plugin asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The storage did not answer, or answered with an error.
    #[error("storage: {0}")]
    Storage(String),
    /// An argument is not acceptable.
    #[error("{0}")]
    Argument(String),
}
