//! Messages as text, in protobuf's text format.

use std::fmt::Write as _;

use super::record::{Record, Value};

/// One line for each value, parts indented by two blanks. Empty fields are left out.
pub(crate) fn format(record: Record) -> String {
    let mut out = String::new();
    message(&mut out, record, 0);
    out
}

fn message(out: &mut String, mut record: Record, depth: usize) {
    let class = record.class();
    let mut empty = class.empty();
    for info in class.fields() {
        let content = record.take(info.number);
        if content != empty.take(info.number) {
            value(out, info.name, content, depth);
        }
    }
}

fn value(out: &mut String, name: &str, content: Value, depth: usize) {
    match content {
        Value::Text(text) => line(out, depth, name, &quoted(text.as_bytes(), true)),
        Value::Bytes(bytes) => line(out, depth, name, &quoted(&bytes, false)),
        Value::Int(number) => line(out, depth, name, &number.to_string()),
        Value::Float(number) => line(out, depth, name, &number.to_string()),
        Value::Bool(flag) => line(out, depth, name, if flag { "true" } else { "false" }),
        Value::Strings(items) => {
            for item in items {
                line(out, depth, name, &quoted(item.as_bytes(), true));
            }
        }
        Value::Doubles(items) => {
            for item in items {
                line(out, depth, name, &item.to_string());
            }
        }
        Value::Map(map) => {
            for (key, entry) in map {
                block(out, name, depth, |out| {
                    line(out, depth + 1, "key", &quoted(key.as_bytes(), true));
                    line(out, depth + 1, "value", &quoted(entry.as_bytes(), true));
                });
            }
        }
        Value::Message(record) => block(out, name, depth, |out| message(out, record, depth + 1)),
        Value::Messages(records) => {
            for record in records {
                block(out, name, depth, |out| message(out, record, depth + 1));
            }
        }
        Value::MessageMap(entries) => {
            for (key, record) in entries {
                block(out, name, depth, |out| {
                    line(out, depth + 1, "key", &quoted(key.as_bytes(), true));
                    block(out, "value", depth + 1, |out| {
                        message(out, record, depth + 2);
                    });
                });
            }
        }
    }
}

fn line(out: &mut String, depth: usize, name: &str, value: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{:1$}{name}: {value}", "", depth * 2);
}

fn block(out: &mut String, name: &str, depth: usize, content: impl FnOnce(&mut String)) {
    let _ = writeln!(out, "{:1$}{name} {{", "", depth * 2);
    content(out);
    let _ = writeln!(out, "{:1$}}}", "", depth * 2);
}

fn quoted(bytes: &[u8], is_text: bool) -> String {
    let mut out = String::from("\"");
    let text = if is_text {
        std::str::from_utf8(bytes).ok()
    } else {
        None
    };
    match text {
        Some(text) => text.chars().for_each(|letter| match letter {
            '\x00'..='\x7f' => escaped(&mut out, letter as u8),
            letter => out.push(letter),
        }),
        None => bytes.iter().for_each(|&byte| escaped(&mut out, byte)),
    }
    out.push('"');
    out
}

fn escaped(out: &mut String, byte: u8) {
    match byte {
        b'\n' => out.push_str("\\n"),
        b'\r' => out.push_str("\\r"),
        b'\t' => out.push_str("\\t"),
        b'"' => out.push_str("\\\""),
        b'\'' => out.push_str("\\'"),
        b'\\' => out.push_str("\\\\"),
        b' '..=b'~' => out.push(char::from(byte)),
        byte => {
            let _ = write!(out, "\\{byte:03o}");
        }
    }
}
