//! Messages as bytes, in protobuf's wire format.

use std::fmt;

use bytes::Bytes;

use super::record::{Class, FieldInfo, Kind, Record, Value};

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const DELIMITED: u64 = 2;
const GROUP: u64 = 3;
const GROUP_END: u64 = 4;
const FIXED32: u64 = 5;

/// How deep groups may be nested.
const DEPTH: usize = 100;

/// Bytes that are no message, and why.
#[derive(Debug)]
pub(crate) struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error parsing message: {}", self.0)
    }
}

/// A message as bytes. The entries of maps are in the order of their keys, so that equal
/// messages are equal bytes.
pub(crate) fn encode(mut record: Record) -> Vec<u8> {
    let mut out = Vec::new();
    for info in record.class().fields() {
        let value = record.take(info.number);
        if !value.is_default() {
            field(&mut out, info, value);
        }
    }
    out
}

fn field(out: &mut Vec<u8>, info: &FieldInfo, value: Value) {
    let number = info.number;
    match value {
        Value::Text(text) => delimited(out, number, text.as_bytes()),
        Value::Bytes(bytes) => delimited(out, number, &bytes),
        Value::Int(value) => {
            tag(out, number, VARINT);
            // Negative numbers are sent as their two's complement of 64 bits.
            varint(out, value as u64);
        }
        Value::Bool(flag) => {
            tag(out, number, VARINT);
            varint(out, flag.into());
        }
        Value::Float(value) => {
            tag(out, number, FIXED64);
            out.extend(value.to_le_bytes());
        }
        Value::Strings(items) => {
            for item in items {
                delimited(out, number, item.as_bytes());
            }
        }
        Value::Doubles(items) => {
            let packed: Vec<u8> = items.iter().flat_map(|item| item.to_le_bytes()).collect();
            delimited(out, number, &packed);
        }
        Value::Edited(headers) => field(out, info, Value::Map(headers.to_map())),
        Value::Map(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_unstable();
            for (key, value) in entries {
                entry(out, number, &key, value.as_bytes());
            }
        }
        Value::MessageMap(mut entries) => {
            entries.sort_by(|(one, _), (two, _)| one.cmp(two));
            for (key, value) in entries {
                entry(out, number, &key, &encode(value));
            }
        }
        Value::Message(record, _) => delimited(out, number, &encode(record)),
        Value::Messages(records) => {
            for record in records {
                delimited(out, number, &encode(record));
            }
        }
    }
}

fn entry(out: &mut Vec<u8>, number: u8, key: &str, value: &[u8]) {
    let mut content = Vec::new();
    delimited(&mut content, 1, key.as_bytes());
    delimited(&mut content, 2, value);
    delimited(out, number, &content);
}

fn delimited(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    tag(out, number, DELIMITED);
    varint(out, content.len() as u64);
    out.extend(content);
}

fn tag(out: &mut Vec<u8>, number: u8, wire_type: u64) {
    varint(out, u64::from(number) << 3 | wire_type);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a message. Fields that the class does not have are skipped.
pub(crate) fn decode(class: Class, bytes: &[u8]) -> Result<Record, Malformed> {
    let mut record = class.empty();
    let mut input = Input(bytes);
    while !input.0.is_empty() {
        let (number, part) = input.part()?;
        let info = class
            .fields()
            .iter()
            .find(|info| u64::from(info.number) == number);
        if let Some(info) = info {
            put(&mut record, info, part)?;
        }
    }
    Ok(record)
}

/// The content of one field as it is on the wire.
enum Part<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32,
    Delimited(&'a [u8]),
    /// No field of ours is one, so it has been skipped.
    Group,
}

fn put(record: &mut Record, info: &FieldInfo, part: Part<'_>) -> Result<(), Malformed> {
    let value = match (info.kind, part) {
        (Kind::Text, Part::Delimited(bytes)) => Value::Text(text(bytes)?),
        (Kind::Bytes, Part::Delimited(bytes)) => Value::Bytes(Bytes::copy_from_slice(bytes)),
        (Kind::Int32, Part::Varint(value)) => Value::Int((value as i32).into()),
        (Kind::Int64, Part::Varint(value)) => Value::Int(value as i64),
        (Kind::Bool, Part::Varint(value)) => Value::Bool(value != 0),
        (Kind::Float, Part::Fixed64(bytes)) => Value::Float(f64::from_le_bytes(bytes)),
        (_, Part::Delimited(bytes)) => extended(record.take(info.number), info.kind, bytes)?,
        (Kind::Doubles, Part::Fixed64(bytes)) => {
            extended(record.take(info.number), info.kind, &bytes)?
        }
        // Another type than the field's: an unknown field.
        _ => return Ok(()),
    };
    record.put(info.number, value).map_err(Malformed)
}

/// What was read of a field with parts so far, and one more part.
fn extended(before: Value, kind: Kind, bytes: &[u8]) -> Result<Value, Malformed> {
    Ok(match (before, kind) {
        (Value::Strings(mut items), _) => {
            items.push(text(bytes)?);
            Value::Strings(items)
        }
        (Value::Doubles(mut items), _) => {
            let (numbers, rest) = bytes.as_chunks();
            if !rest.is_empty() {
                return Err(Malformed("packed numbers are cut off".to_owned()));
            }
            items.extend(numbers.iter().map(|number| f64::from_le_bytes(*number)));
            Value::Doubles(items)
        }
        (Value::Map(mut map), _) => {
            let (key, value) = key_and_value(bytes)?;
            map.insert(key, text(value)?);
            Value::Map(map)
        }
        (Value::MessageMap(mut entries), Kind::MessageMap(class)) => {
            let (key, value) = key_and_value(bytes)?;
            entries.retain(|(other, _)| *other != key);
            entries.push((key, decode(class, value)?));
            Value::MessageMap(entries)
        }
        (Value::Messages(mut records), Kind::Messages(class)) => {
            records.push(decode(class, bytes)?);
            Value::Messages(records)
        }
        (Value::Message(record, _), Kind::Message(class)) => {
            let mut joined = encode(record);
            joined.extend(bytes);
            Value::Message(decode(class, &joined)?, true)
        }
        (before, _) => before,
    })
}

fn key_and_value(bytes: &[u8]) -> Result<(String, &[u8]), Malformed> {
    let mut entry = (String::new(), &bytes[..0]);
    let mut input = Input(bytes);
    while !input.0.is_empty() {
        match input.part()? {
            (1, Part::Delimited(key)) => entry.0 = text(key)?,
            (2, Part::Delimited(value)) => entry.1 = value,
            _ => {}
        }
    }
    Ok(entry)
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned)
        .map_err(|_| Malformed("a text is not UTF-8".to_owned()))
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// The next field: its number and content.
    fn part(&mut self) -> Result<(u64, Part<'a>), Malformed> {
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 {
            return Err(Malformed("a field has the number 0".to_owned()));
        }
        let part = match tag & 7 {
            VARINT => Part::Varint(self.varint()?),
            FIXED64 => Part::Fixed64(*self.chunk()?),
            FIXED32 => {
                self.chunk::<4>()?;
                Part::Fixed32
            }
            DELIMITED => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                let split = self.0.split_at_checked(length).ok_or_else(cut_off)?;
                self.0 = split.1;
                Part::Delimited(split.0)
            }
            GROUP => {
                self.skip_group(number)?;
                Part::Group
            }
            other => return Err(Malformed(format!("unknown wire type {other}"))),
        };
        Ok((number, part))
    }

    /// Goes behind the end of a group that has begun, with all groups in it.
    fn skip_group(&mut self, number: u64) -> Result<(), Malformed> {
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            let before = self.0;
            let tag = self.varint()?;
            match tag & 7 {
                GROUP if open.len() == DEPTH => {
                    return Err(Malformed("groups are nested too deep".to_owned()));
                }
                GROUP => open.push(tag >> 3),
                GROUP_END if tag >> 3 == innermost => {
                    open.pop();
                }
                GROUP_END => return Err(Malformed("a group has the wrong end".to_owned())),
                _ => {
                    self.0 = before;
                    self.part()?;
                }
            }
        }
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or_else(cut_off)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("a number is too long".to_owned()))
    }

    fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        let (chunk, rest) = self.0.split_first_chunk().ok_or_else(cut_off)?;
        self.0 = rest;
        Ok(chunk)
    }
}

fn cut_off() -> Malformed {
    Malformed("it is cut off".to_owned())
}
