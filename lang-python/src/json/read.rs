//! `json.loads` of what is plainly valid JSON.

use coprocess_core::json::escape;
use pyo3::prelude::*;
use pyo3::types::string::PyStringData;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyList, PyString, PyTuple};

use super::{MAX_DEPTH, scan};
use crate::interpreter;

/// Longest number that is read here, in bytes.
const MAX_NUMBER: usize = 1000;

/// Reads the one argument; nothing where that is for the original.
pub(super) fn loads<'py>(
    args: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> Option<Bound<'py, PyAny>> {
    if args.len() != 1 || !keywords.is_none_or(say_nothing) {
        return None;
    }
    let given = args.get_item(0).ok()?;
    if given.is_exact_instance_of::<PyBytes>() {
        let bytes = given.cast::<PyBytes>().ok()?;
        // What is in another encoding, or begins with a mark of one, is not JSON in this one.
        return read(given.py(), std::str::from_utf8(bytes.as_bytes()).ok()?);
    }
    if !given.is_exact_instance_of::<PyString>() {
        return None;
    }
    let text = given.cast::<PyString>().ok()?;
    match interpreter::characters(text)? {
        PyStringData::Ucs1(bytes) if bytes.is_ascii() => {
            read(given.py(), std::str::from_utf8(bytes).ok()?)
        }
        // Asking the text for its UTF-8 would leave it there for as long as the text lives.
        _ => {
            let bytes = text.encode_utf8().ok()?;
            read(given.py(), std::str::from_utf8(bytes.as_bytes()).ok()?)
        }
    }
}

/// Whether keyword arguments are only those of `loads`, as they are when absent; `json.load`
/// gives them all.
fn say_nothing(keywords: &Bound<'_, PyDict>) -> bool {
    keywords.iter().all(|(name, value)| {
        let name = name.cast::<PyString>().ok();
        value.is_none()
            && matches!(
                name.and_then(|name| name.to_str().ok()),
                Some(
                    "cls"
                        | "object_hook"
                        | "object_pairs_hook"
                        | "parse_constant"
                        | "parse_float"
                        | "parse_int"
                )
            )
    })
}

fn read<'py>(py: Python<'py>, text: &str) -> Option<Bound<'py, PyAny>> {
    let mut reader = Reader {
        py,
        text,
        at: 0,
        items: Vec::new(),
        keys: Keys::default(),
    };
    reader.skip_space();
    let value = reader.value(MAX_DEPTH)?;
    (reader.at == text.len()).then_some(value)
}

struct Reader<'a, 'py> {
    py: Python<'py>,
    text: &'a str,
    at: usize,
    /// The items so far of all lists that have not ended.
    items: Vec<Bound<'py, PyAny>>,
    keys: Keys<'a, 'py>,
}

/// The text of a string in the document.
enum Text<'a> {
    Plain(&'a str),
    /// It had escapes.
    Made(String),
}

impl<'a, 'py> Reader<'a, 'py> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        if is_there {
            self.at += 1;
        }
        is_there
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Reads a value, and the space behind it.
    fn value(&mut self, depth: usize) -> Option<Bound<'py, PyAny>> {
        let value = match self.peek()? {
            b'"' => self.text()?.into_any(),
            b'{' => self.object(depth.checked_sub(1)?)?,
            b'[' => self.list(depth.checked_sub(1)?)?,
            b't' => self.word("true", PyBool::new(self.py, true).to_owned().into_any())?,
            b'f' => self.word("false", PyBool::new(self.py, false).to_owned().into_any())?,
            b'n' => self.word("null", self.py.None().into_bound(self.py))?,
            _ => self.number()?,
        };
        self.skip_space();
        Some(value)
    }

    fn text(&mut self) -> Option<Bound<'py, PyString>> {
        let text = match self.short() {
            Some((text, _)) => text,
            None => match self.string()? {
                Text::Plain(text) => text,
                Text::Made(text) => return Some(PyString::new(self.py, &text)),
            },
        };
        Some(PyString::new(self.py, text))
    }

    /// Reads a string from its first quote on, if it is short and has no escapes.
    #[inline]
    fn short(&mut self) -> Option<(&'a str, u64)> {
        let (length, word) = scan::short_text(self.rest().get(1..)?)?;
        let begin = self.at + 1;
        let text = self.text.get(begin..begin + length)?;
        self.at = begin + length + 1;
        Some((text, word))
    }

    fn word(&mut self, word: &str, value: Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let is_there = self.rest().starts_with(word.as_bytes());
        self.at += word.len();
        is_there.then_some(value)
    }

    fn object(&mut self, depth: usize) -> Option<Bound<'py, PyAny>> {
        let object = PyDict::new(self.py);
        self.at += 1;
        self.skip_space();
        if self.eat(b'}') {
            return Some(object.into_any());
        }
        loop {
            if self.peek() != Some(b'"') {
                return None;
            }
            let key = self.key()?;
            self.skip_space();
            if !self.eat(b':') {
                return None;
            }
            self.skip_space();
            let value = self.value(depth)?;
            object.set_item(key, value).ok()?;
            if self.eat(b'}') {
                return Some(object.into_any());
            }
            if !self.eat(b',') {
                return None;
            }
            self.skip_space();
        }
    }

    /// Reads a key from its first quote on.
    fn key(&mut self) -> Option<Bound<'py, PyString>> {
        if let Some((text, word)) = self.short() {
            return self.keys.get(self.py, text, word);
        }
        match self.string()? {
            Text::Plain(text) => self.keys.get(self.py, text, last_word(text)),
            Text::Made(text) => self.keys.collided(PyString::new(self.py, &text)),
        }
    }

    fn list(&mut self, depth: usize) -> Option<Bound<'py, PyAny>> {
        self.at += 1;
        self.skip_space();
        if self.eat(b']') {
            return Some(PyList::empty(self.py).into_any());
        }
        let begin = self.items.len();
        loop {
            let item = self.value(depth)?;
            self.items.push(item);
            if self.eat(b']') {
                let items = self.items.drain(begin..);
                return Some(PyList::new(self.py, items).ok()?.into_any());
            }
            if !self.eat(b',') {
                return None;
            }
            self.skip_space();
        }
    }

    fn number(&mut self) -> Option<Bound<'py, PyAny>> {
        let rest = self.rest();
        let (length, is_whole) = number(rest)?;
        // A parser reads exponents up to a limit, so only ones that cannot come near it.
        if length > MAX_NUMBER {
            return None;
        }
        let text = self.text.get(self.at..self.at + length)?;
        self.at += length;
        if is_whole {
            // Those that do not fit are for the original.
            let number: i64 = text.parse().ok()?;
            return Some(number.into_pyobject(self.py).ok()?.into_any());
        }
        Some(PyFloat::new(self.py, text.parse().ok()?).into_any())
    }

    /// Reads a string from its first quote on.
    fn string(&mut self) -> Option<Text<'a>> {
        self.at += 1;
        let plain = self.plain()?;
        if self.eat(b'"') {
            return Some(Text::Plain(plain));
        }
        let mut made = String::with_capacity(plain.len() + 16);
        made.push_str(plain);
        while self.peek() == Some(b'\\') {
            // Half of a pair of surrogates is something to the original, and nothing here.
            let (letter, length) = escape(self.rest())?;
            self.at += length;
            made.push(letter);
            made.push_str(self.plain()?);
        }
        // Else it is a control character, or the document has ended.
        self.eat(b'"').then_some(Text::Made(made))
    }

    fn plain(&mut self) -> Option<&'a str> {
        let begin = self.at;
        self.at += scan::text(self.rest());
        self.text.get(begin..self.at)
    }
}

/// The length of the number at the start, and whether it is a whole one.
fn number(bytes: &[u8]) -> Option<(usize, bool)> {
    let at = |index: usize| bytes.get(index).copied().unwrap_or_default();
    let digits = |begin: usize| {
        let mut end = begin;
        while at(end).is_ascii_digit() {
            end += 1;
        }
        (end > begin).then_some(end)
    };
    let begin = usize::from(at(0) == b'-');
    // A digit behind a zero is where no value goes on.
    let whole = match at(begin) {
        b'0' => begin + 1,
        _ => digits(begin)?,
    };
    let mut end = whole;
    if at(end) == b'.' {
        end = digits(end + 1)?;
    }
    if let b'e' | b'E' = at(end) {
        end += 1;
        if let b'+' | b'-' = at(end) {
            end += 1;
        }
        end = digits(end)?;
    }
    Some((end, end == whole))
}

const SLOTS: usize = 256;

/// In how many slots a key may be.
const PROBES: usize = 4;

/// The keys of one document: each text is one object in it, however often it comes.
struct Keys<'a, 'py> {
    /// Where each key is in `known`, counted from one; zero is a free slot.
    slots: [u8; SLOTS],
    known: Vec<Key<'a, 'py>>,
    /// Those whose slots were taken, and those with escapes. A client may choose keys for the
    /// same slots, but not how they lie in a dictionary.
    others: Option<Bound<'py, PyDict>>,
}

struct Key<'a, 'py> {
    text: &'a str,
    /// All bytes of a text that has fewer than eight, else its last ones.
    word: u64,
    object: Bound<'py, PyString>,
}

impl Default for Keys<'_, '_> {
    fn default() -> Self {
        Self {
            slots: [0; SLOTS],
            known: Vec::new(),
            others: None,
        }
    }
}

impl<'a, 'py> Keys<'a, 'py> {
    #[inline]
    fn get(&mut self, py: Python<'py>, text: &'a str, word: u64) -> Option<Bound<'py, PyString>> {
        let first = (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize;
        for probe in 0..PROBES {
            let slot = self.slots.get_mut((first + probe) % SLOTS)?;
            if *slot == 0 {
                let object = PyString::new(py, text);
                let Ok(number) = u8::try_from(self.known.len() + 1) else {
                    return self.collided(object);
                };
                *slot = number;
                self.known.push(Key {
                    text,
                    word,
                    object: object.clone(),
                });
                return Some(object);
            }
            let key = self.known.get(usize::from(*slot) - 1)?;
            if key.word == word
                && key.text.len() == text.len()
                && (text.len() < 8 || key.text == text)
            {
                return Some(key.object.clone());
            }
        }
        self.collided(PyString::new(py, text))
    }

    fn collided(&mut self, key: Bound<'py, PyString>) -> Option<Bound<'py, PyString>> {
        let py = key.py();
        let others = self.others.get_or_insert_with(|| PyDict::new(py));
        let (_is_new, known) = others.set_default_with_result(&key, &key).ok()?;
        known.cast_into().ok()
    }
}

/// What tells a key from most others, in the form of [`Key`]'s.
fn last_word(text: &str) -> u64 {
    match text.as_bytes().last_chunk() {
        Some(last) => u64::from_le_bytes(*last),
        None => (0..)
            .step_by(8)
            .zip(text.bytes())
            .fold(0, |word, (shift, byte)| word | u64::from(byte) << shift),
    }
}
