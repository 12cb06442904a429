//! `json.dumps` of the usual values.

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::string::PyStringData;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::{MAX_DEPTH, float, scan};
use crate::interpreter;

/// Writes the one argument; nothing where that is for the original.
pub(super) fn dumps<'py>(
    args: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> Option<Bound<'py, PyAny>> {
    if args.len() != 1 {
        return None;
    }
    let value = args.get_item(0).ok()?;
    let options = match keywords {
        Some(keywords) => Options::read(keywords)?,
        None => Options::default(),
    };
    let (between_items, behind_key) = match &options.separators {
        Some((item, key)) => (item.to_str().ok()?, key.to_str().ok()?),
        None => (", ", ": "),
    };
    let mut writer = Writer {
        out: Vec::with_capacity(256),
        between_items: between_items.as_bytes(),
        behind_key: behind_key.as_bytes(),
        ascii: options.ascii,
        nan: options.nan,
    };
    writer.value(&value, MAX_DEPTH)?;
    let text = std::str::from_utf8(&writer.out).ok()?;
    Some(PyString::new(value.py(), text).into_any())
}

struct Options<'py> {
    separators: Option<(Bound<'py, PyString>, Bound<'py, PyString>)>,
    ascii: bool,
    nan: bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            separators: None,
            ascii: true,
            nan: true,
        }
    }
}

impl<'py> Options<'py> {
    fn read(keywords: &Bound<'py, PyDict>) -> Option<Self> {
        let mut options = Self::default();
        for (name, value) in keywords.iter() {
            match name.cast::<PyString>().ok()?.to_str().ok()? {
                "separators" if value.is_none() => options.separators = None,
                "separators" => options.separators = Some(pair(&value)?),
                "ensure_ascii" => options.ascii = flag(&value)?,
                "allow_nan" => options.nan = flag(&value)?,
                // All keys are text here, and what is circular is handed on.
                "skipkeys" | "check_circular" => drop(flag(&value)?),
                "sort_keys" if !flag(&value)? => {}
                // It is asked about values that are handed on.
                "default" if value.is_none() || value.is_callable() => {}
                "cls" | "indent" if value.is_none() => {}
                _ => return None,
            }
        }
        Some(options)
    }
}

fn flag(value: &Bound<'_, PyAny>) -> Option<bool> {
    Some(exact::<PyBool>(value)?.is_true())
}

fn pair<'py>(value: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyString>, Bound<'py, PyString>)> {
    let pair = exact::<PyTuple>(value)?;
    if pair.len() != 2 {
        return None;
    }
    let text = |index| exact::<PyString>(&pair.get_item(index).ok()?).cloned();
    Some((text(0)?, text(1)?))
}

/// The value as one of exactly that class: a class of its own may have methods that count.
fn exact<'a, 'py, T: PyTypeInfo>(value: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, T>> {
    if !value.is_exact_instance_of::<T>() {
        return None;
    }
    value.cast().ok()
}

/// Walks over a value. No Python code runs meanwhile, and no other thread: nothing here makes
/// an object, calls a method or gives up the interpreter, but for the error of a number that does
/// not fit, which ends the walk. So no list or dictionary changes while it is walked over.
struct Writer<'a> {
    out: Vec<u8>,
    between_items: &'a [u8],
    behind_key: &'a [u8],
    ascii: bool,
    nan: bool,
}

impl Writer<'_> {
    fn value(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> Option<()> {
        if let Some(text) = exact::<PyString>(value) {
            return self.text(text);
        }
        if let Some(number) = exact::<PyInt>(value) {
            // Those that do not fit are for the original.
            let number: i64 = number.extract().ok()?;
            self.put(itoa::Buffer::new().format(number).as_bytes());
        } else if let Some(object) = exact::<PyDict>(value) {
            return self.object(object, depth.checked_sub(1)?);
        } else if let Some(list) = exact::<PyList>(value) {
            return self.items(list.iter(), depth.checked_sub(1)?);
        } else if let Some(number) = exact::<PyFloat>(value) {
            return self.float(number.value());
        } else if let Some(flag) = exact::<PyBool>(value) {
            self.put(if flag.is_true() { b"true" } else { b"false" });
        } else if value.is_none() {
            self.put(b"null");
        } else if let Some(tuple) = exact::<PyTuple>(value) {
            return self.items(tuple.iter(), depth.checked_sub(1)?);
        } else {
            return None;
        }
        Some(())
    }

    fn put(&mut self, bytes: &[u8]) {
        match bytes {
            // Usual between items, and quicker than a copy.
            [byte] => self.out.push(*byte),
            _ => self.out.extend_from_slice(bytes),
        }
    }

    fn object(&mut self, object: &Bound<'_, PyDict>, depth: usize) -> Option<()> {
        self.out.push(b'{');
        for (index, (key, value)) in object.iter().enumerate() {
            if index > 0 {
                self.put(self.between_items);
            }
            self.text(exact::<PyString>(&key)?)?;
            self.put(self.behind_key);
            self.value(&value, depth)?;
        }
        self.out.push(b'}');
        Some(())
    }

    fn items<'py>(
        &mut self,
        items: impl Iterator<Item = Bound<'py, PyAny>>,
        depth: usize,
    ) -> Option<()> {
        self.out.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.put(self.between_items);
            }
            self.value(&item, depth)?;
        }
        self.out.push(b']');
        Some(())
    }

    fn float(&mut self, number: f64) -> Option<()> {
        if number.is_finite() {
            return float::write(&mut self.out, number);
        }
        if !self.nan {
            return None;
        }
        self.put(match number {
            f64::INFINITY => b"Infinity",
            f64::NEG_INFINITY => b"-Infinity",
            _ => b"NaN",
        });
        Some(())
    }

    fn text(&mut self, text: &Bound<'_, PyString>) -> Option<()> {
        self.out.push(b'"');
        match interpreter::characters(text)? {
            PyStringData::Ucs1(bytes) => self.narrow(bytes)?,
            PyStringData::Ucs2(units) => self.wide(units)?,
            PyStringData::Ucs4(units) => self.wide(units)?,
        }
        self.out.push(b'"');
        Some(())
    }

    fn narrow(&mut self, mut bytes: &[u8]) -> Option<()> {
        loop {
            let (printable, rest) = bytes.split_at_checked(scan::printable(bytes))?;
            self.put(printable);
            let Some((special, rest)) = rest.split_first() else {
                return Some(());
            };
            self.character(u32::from(*special))?;
            bytes = rest;
        }
    }

    fn wide<T: Copy + Into<u32>>(&mut self, units: &[T]) -> Option<()> {
        units
            .iter()
            .try_for_each(|unit| self.character((*unit).into()))
    }

    fn character(&mut self, code: u32) -> Option<()> {
        match code {
            0x22 => self.put(b"\\\""),
            0x5c => self.put(b"\\\\"),
            0x20..0x7f => self.out.push(code as u8),
            0x08 => self.put(b"\\b"),
            0x09 => self.put(b"\\t"),
            0x0a => self.put(b"\\n"),
            0x0c => self.put(b"\\f"),
            0x0d => self.put(b"\\r"),
            0x00..0x20 => self.unit(code),
            _ if !self.ascii => {
                // Half of a pair alone has no UTF-8.
                let letter = char::from_u32(code)?;
                self.put(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            0x1_0000.. => {
                let above = code - 0x1_0000;
                self.unit(0xd800 | above >> 10);
                self.unit(0xdc00 | above & 0x3ff);
            }
            _ => self.unit(code),
        }
        Some(())
    }

    fn unit(&mut self, unit: u32) {
        let digit = |shift: u32| b"0123456789abcdef"[(unit >> shift & 0xf) as usize];
        self.put(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
    }
}
