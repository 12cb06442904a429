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
    for info in record.class().fields() {
        let content = record.take(info.number);
        if !content.is_default() {
            value(out, info.name, content, depth);
        }
    }
}

fn value(out: &mut String, name: &str, content: Value, depth: usize) {
    match content {
        Value::Text(text) => line(out, depth, name, &quoted(text.as_bytes(), true)),
        Value::Bytes(bytes) => line(out, depth, name, &quoted(&bytes, false)),
        Value::Int(number) => line(out, depth, name, &number.to_string()),
        Value::Float(number) => line(out, depth, name, &float(number)),
        Value::Bool(flag) => line(out, depth, name, if flag { "true" } else { "false" }),
        Value::Strings(items) => {
            for item in items {
                line(out, depth, name, &quoted(item.as_bytes(), true));
            }
        }
        Value::Doubles(items) => {
            for item in items {
                line(out, depth, name, &float(item));
            }
        }
        Value::Edited(headers) => value(out, name, Value::Map(headers.to_map()), depth),
        Value::Map(map) => {
            for (key, entry) in map {
                block(out, name, depth, |out| {
                    line(out, depth + 1, "key", &quoted(key.as_bytes(), true));
                    line(out, depth + 1, "value", &quoted(entry.as_bytes(), true));
                });
            }
        }
        Value::Message(record, _) => block(out, name, depth, |out| message(out, record, depth + 1)),
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

/// A number in as few of 15 digits as tell it, or in 17.
fn float(number: f64) -> String {
    if !number.is_finite() {
        return match number {
            f64::INFINITY => "inf",
            f64::NEG_INFINITY => "-inf",
            _ => "nan",
        }
        .to_owned();
    }
    let mut digits = 15;
    if format!("{number:.14e}").parse() != Ok(number) {
        digits = 17;
    }
    let scientific = format!("{number:.0$e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..digits as i32).contains(&exponent) {
        let decimals = usize::try_from(digits as i32 - 1 - exponent).unwrap_or_default();
        return without_zeros(&format!("{number:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    let mantissa = without_zeros(mantissa);
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

fn without_zeros(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
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
