//! The log: one line per happening on standard error.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

/// Starts logging at `level`. Later calls change nothing.
pub fn init(level: Level) {
    let format = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::from_level(level))
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A second subscriber would be a second start in one process, as in-process tests do.
    let _ = format.try_init();
}

/// The time as the log writes it: RFC 3339.
pub fn timestamp() -> String {
    let mut text = String::new();
    SystemTime
        .format_time(&mut Writer::new(&mut text))
        .expect("a text takes everything");
    text
}

/// The level that a configuration names.
pub fn parse_level(name: &str) -> Option<Level> {
    Some(match name {
        "debug" => Level::DEBUG,
        "info" => Level::INFO,
        "warn" | "warning" => Level::WARN,
        "error" => Level::ERROR,
        _ => return None,
    })
}
