//! What a child process wrote: kept line by line, searched with a deadline.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::wait::DEADLINE;

/// The lines that a process has written so far, to both of its outputs.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    open_outputs: usize,
}

impl Log {
    /// Collects everything that `output` yields, on a thread that ends with it.
    pub fn follow(&self, output: impl Read + Send + 'static) {
        self.0.0.lock().unwrap().open_outputs += 1;
        let log = self.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(output);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
                log.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
            log.0.0.lock().unwrap().open_outputs -= 1;
            log.0.1.notify_all();
        });
    }

    fn push(&self, line: String) {
        self.0.0.lock().unwrap().lines.push(line);
        self.0.1.notify_all();
    }

    /// Everything so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.0.lock().unwrap().lines.join("\n")
    }

    /// How many lines there are: a mark for [`Log::find_after`].
    #[must_use]
    pub fn mark(&self) -> usize {
        self.0.0.lock().unwrap().lines.len()
    }

    /// The first line after `mark` that contains all of `parts`; waits for it. `None` when the
    /// process ends or the deadline passes first.
    #[must_use]
    pub fn find_after(&self, mark: usize, parts: &[&str]) -> Option<String> {
        self.find_within(DEADLINE, mark, parts)
    }

    /// The same, with a deadline of its own.
    #[must_use]
    pub fn find_within(&self, limit: Duration, mark: usize, parts: &[&str]) -> Option<String> {
        let deadline = Instant::now() + limit;
        let (lines, changed) = &*self.0;
        let mut lines = lines.lock().unwrap();
        loop {
            let found = lines
                .lines
                .iter()
                .skip(mark)
                .find(|line| parts.iter().all(|part| line.contains(part)));
            if let Some(line) = found {
                return Some(line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.open_outputs == 0 || left == Duration::ZERO {
                return None;
            }
            lines = changed.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// Waits until the process has closed its outputs.
    pub fn wait_for_end(&self) {
        let (lines, changed) = &*self.0;
        let guard = lines.lock().unwrap();
        let _unused = changed
            .wait_timeout_while(guard, DEADLINE, |lines| lines.open_outputs > 0)
            .unwrap();
    }
}
