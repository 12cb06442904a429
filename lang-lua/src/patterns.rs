//! Lua's pattern matching, able to stop.
//!
//! LuaJIT matches in C, where no hook runs: a pattern with several repetitions over a long
//! text can take hours and could not be cut. The sandbox sends such calls here (short texts
//! and simple patterns stay with LuaJIT); the matching is the same, and it ends when the
//! run is to end.

use std::ops::Range;

use mlua::{Error, IntoLua, Lua, LuaString, MultiValue, Value};

use crate::raw::interrupt;

const MAX_CAPTURES: usize = 32;

/// How deep items of a pattern may nest, as in LuaJIT. Bounds the stack, too.
const MAX_DEPTH: u32 = 200;

/// Steps between two looks at whether the run is to end: some microseconds.
const STEPS: u32 = 4096;

/// Bytes of the text between two looks, where the pattern is a plain text.
const BLOCK: usize = 64 << 10;

/// `find(text, pattern, from, plain)`: first and last position and the captures, or nil.
pub(crate) fn find(
    lua: &Lua,
    (text, pattern, from, plain): (LuaString, LuaString, Option<i64>, bool),
) -> mlua::Result<MultiValue> {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let from = start_position(from.unwrap_or(1), text.len());
    let mut matcher = Matcher::new(&text, &pattern);
    let found = if plain {
        find_plain(&text, &pattern, from)
    } else {
        matcher.find(from)
    };
    let Some(found) = found.map_err(|problem| Error::RuntimeError(problem.to_owned()))? else {
        return Ok([Value::Nil].into_iter().collect());
    };
    let mut values = vec![(found.start + 1).into_lua(lua)?, found.end.into_lua(lua)?];
    for capture in &matcher.captures[..matcher.level] {
        values.push(match capture.end {
            End::At(end) => lua
                .create_string(&text[capture.start..end])?
                .into_lua(lua)?,
            End::Position => (capture.start + 1).into_lua(lua)?,
            End::Open => return Err(Error::RuntimeError("unfinished capture".to_owned())),
        });
    }
    Ok(values.into_iter().collect())
}

/// Where a piece of text is, if it is there.
fn find_plain(text: &[u8], piece: &[u8], from: usize) -> Result<Option<Range<usize>>, Problem> {
    let Some((&first, _)) = piece.split_first() else {
        return Ok(Some(from..from));
    };
    let last_start = text.len().checked_sub(piece.len());
    let Some(starts) = last_start.and_then(|last| text.get(from..=last)) else {
        return Ok(None);
    };
    for (block, base) in starts.chunks(BLOCK).zip((from..).step_by(BLOCK)) {
        stop_when_asked()?;
        for (offset, _) in block.iter().enumerate().filter(|(_, byte)| **byte == first) {
            // One comparison may be of megabytes.
            stop_when_asked()?;
            let start = base + offset;
            if text[start..].starts_with(piece) {
                return Ok(Some(start..start + piece.len()));
            }
        }
    }
    Ok(None)
}

fn stop_when_asked() -> Result<(), Problem> {
    if interrupt::is_asked_to_end() {
        return Err("time limit");
    }
    Ok(())
}

/// Counted from 1, or from the end when negative; beyond the end it is the end.
fn start_position(from: i64, length: usize) -> usize {
    let start = if from < 0 {
        let back = usize::try_from(from.unsigned_abs()).unwrap_or(usize::MAX);
        length.saturating_sub(back)
    } else {
        usize::try_from(from - 1).unwrap_or(0)
    };
    start.min(length)
}

type Problem = &'static str;
type Outcome = Result<Option<usize>, Problem>;

#[derive(Clone, Copy)]
enum End {
    Open,
    Position,
    At(usize),
}

#[derive(Clone, Copy)]
struct Capture {
    start: usize,
    end: End,
}

/// The algorithm is that of Lua 5.1; positions are counted from 0, `p` in the pattern and `s`
/// in the text.
struct Matcher<'a> {
    text: &'a [u8],
    pattern: &'a [u8],
    captures: [Capture; MAX_CAPTURES],
    level: usize,
    depth: u32,
    steps: u32,
}

impl<'a> Matcher<'a> {
    fn new(text: &'a [u8], pattern: &'a [u8]) -> Self {
        let unused = Capture {
            start: 0,
            end: End::Open,
        };
        // To LuaJIT a pattern ends at its first NUL.
        let end = pattern.iter().position(|&letter| letter == 0);
        Self {
            text,
            pattern: &pattern[..end.unwrap_or(pattern.len())],
            captures: [unused; MAX_CAPTURES],
            level: 0,
            depth: 0,
            steps: 0,
        }
    }

    fn find(&mut self, from: usize) -> Result<Option<Range<usize>>, Problem> {
        let anchored = self.pattern.first() == Some(&b'^');
        for start in from..=self.text.len() {
            self.level = 0;
            if let Some(end) = self.matches(start, usize::from(anchored))? {
                return Ok(Some(start..end));
            }
            if anchored {
                break;
            }
        }
        Ok(None)
    }

    /// Counts work, and says so when the run is to end.
    fn step(&mut self) -> Result<(), Problem> {
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS) {
            stop_when_asked()?;
        }
        Ok(())
    }

    fn matches(&mut self, s: usize, p: usize) -> Outcome {
        if self.depth >= MAX_DEPTH {
            return Err("pattern too complex");
        }
        self.depth += 1;
        let outcome = self.matches_here(s, p);
        self.depth -= 1;
        outcome
    }

    fn matches_here(&mut self, mut s: usize, mut p: usize) -> Outcome {
        while let Some(&item) = self.pattern.get(p) {
            self.step()?;
            let next = self.pattern.get(p + 1).copied();
            let jump = match (item, next) {
                (b'(', Some(b')')) => return self.start_capture(s, p + 2, End::Position),
                (b'(', _) => return self.start_capture(s, p + 1, End::Open),
                (b')', _) => return self.end_capture(s, p + 1),
                (b'$', None) => return Ok((s == self.text.len()).then_some(s)),
                (b'%', Some(b'b')) => self.balance(s, p + 2)?.map(|end| (end, p + 4)),
                (b'%', Some(b'f')) => self.frontier(s, p + 2)?.map(|after| (s, after)),
                (b'%', Some(digit @ b'0'..=b'9')) => {
                    self.back_reference(s, digit)?.map(|end| (end, p + 2))
                }
                _ => {
                    let after = self.class_end(p)?;
                    let here = self.single(s, p, after);
                    match self.pattern.get(after) {
                        Some(b'?') => {
                            if here && let Some(end) = self.matches(s + 1, after + 1)? {
                                return Ok(Some(end));
                            }
                            Some((s, after + 1))
                        }
                        Some(b'*') => return self.most(s, p, after),
                        Some(b'+') if here => return self.most(s + 1, p, after),
                        Some(b'+') => None,
                        Some(b'-') => return self.least(s, p, after),
                        _ => here.then_some((s + 1, after)),
                    }
                }
            };
            match jump {
                Some(to) => (s, p) = to,
                None => return Ok(None),
            }
        }
        Ok(Some(s))
    }

    fn most(&mut self, s: usize, p: usize, after: usize) -> Outcome {
        let mut count = 0;
        while self.single(s + count, p, after) {
            self.step()?;
            count += 1;
        }
        for taken in (0..=count).rev() {
            if let Some(end) = self.matches(s + taken, after + 1)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    fn least(&mut self, mut s: usize, p: usize, after: usize) -> Outcome {
        loop {
            if let Some(end) = self.matches(s, after + 1)? {
                return Ok(Some(end));
            }
            if !self.single(s, p, after) {
                return Ok(None);
            }
            self.step()?;
            s += 1;
        }
    }

    fn start_capture(&mut self, s: usize, p: usize, end: End) -> Outcome {
        let slot = self.captures.get_mut(self.level);
        *slot.ok_or("too many captures")? = Capture { start: s, end };
        self.level += 1;
        let outcome = self.matches(s, p)?;
        if outcome.is_none() {
            self.level -= 1;
        }
        Ok(outcome)
    }

    fn end_capture(&mut self, s: usize, p: usize) -> Outcome {
        let open = self.captures[..self.level]
            .iter()
            .rposition(|capture| matches!(capture.end, End::Open))
            .ok_or("invalid pattern capture")?;
        self.captures[open].end = End::At(s);
        let outcome = self.matches(s, p)?;
        if outcome.is_none() {
            self.captures[open].end = End::Open;
        }
        Ok(outcome)
    }

    fn back_reference(&mut self, s: usize, digit: u8) -> Outcome {
        let index = usize::from(digit).checked_sub(usize::from(b'1'));
        let capture = index.and_then(|index| self.captures[..self.level].get(index));
        let known = match capture {
            Some(Capture {
                start,
                end: End::At(end),
            }) => &self.text[*start..*end],
            // A position capture stands for no text at all.
            Some(Capture {
                end: End::Position, ..
            }) => &[],
            _ => return Err("invalid capture index"),
        };
        Ok(self.text[s..].starts_with(known).then_some(s + known.len()))
    }

    fn balance(&mut self, s: usize, p: usize) -> Outcome {
        let (Some(&open), Some(&close)) = (self.pattern.get(p), self.pattern.get(p + 1)) else {
            return Err("unbalanced pattern");
        };
        if self.text.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1;
        for at in s + 1..self.text.len() {
            self.step()?;
            let letter = self.text[at];
            if letter == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            } else if letter == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// Where the pattern goes on after `%f[set]`, if the frontier is here.
    fn frontier(&mut self, s: usize, p: usize) -> Outcome {
        if self.pattern.get(p) != Some(&b'[') {
            return Err("missing '[' after '%f' in pattern");
        }
        let after = self.class_end(p)?;
        let before = s.checked_sub(1).map_or(0, |index| self.text[index]);
        let here = self.text.get(s).copied().unwrap_or(0);
        let holds = !self.in_set(before, p, after - 1) && self.in_set(here, p, after - 1);
        Ok(holds.then_some(after))
    }

    /// The end of the single-character class at `p`.
    fn class_end(&self, p: usize) -> Result<usize, Problem> {
        match self.pattern[p] {
            b'%' if p + 1 == self.pattern.len() => Err("malformed pattern (ends with '%')"),
            b'%' => Ok(p + 2),
            b'[' => self.set_end(p + 1),
            _ => Ok(p + 1),
        }
    }

    fn set_end(&self, mut p: usize) -> Result<usize, Problem> {
        p += usize::from(self.pattern.get(p) == Some(&b'^'));
        // The first character belongs to the set even if it is a bracket.
        loop {
            let letter = self.pattern.get(p);
            p += 1;
            match letter {
                None => return Err("malformed pattern (missing ']')"),
                Some(b'%') if p < self.pattern.len() => p += 1,
                Some(_) => {}
            }
            if self.pattern.get(p) == Some(&b']') {
                return Ok(p + 1);
            }
        }
    }

    /// Whether the character at `s` is in the class from `p` to `after`.
    fn single(&self, s: usize, p: usize, after: usize) -> bool {
        let Some(&letter) = self.text.get(s) else {
            return false;
        };
        match self.pattern[p] {
            b'.' => true,
            b'%' => in_class(letter, self.pattern[p + 1]),
            b'[' => self.in_set(letter, p, after - 1),
            other => other == letter,
        }
    }

    /// `p` is at the opening bracket, `close` at the closing one.
    fn in_set(&self, letter: u8, mut p: usize, close: usize) -> bool {
        let negated = self.pattern[p + 1] == b'^';
        p += 1 + usize::from(negated);
        while p < close {
            let item = self.pattern[p];
            let (found, length) = if item == b'%' {
                (in_class(letter, self.pattern[p + 1]), 2)
            } else if self.pattern[p + 1] == b'-' && p + 2 < close {
                ((item..=self.pattern[p + 2]).contains(&letter), 3)
            } else {
                (item == letter, 1)
            };
            if found {
                return !negated;
            }
            p += length;
        }
        negated
    }
}

/// `%a` and the like; in upper case the opposite; what is no class means itself.
fn in_class(letter: u8, class: u8) -> bool {
    let found = match class.to_ascii_lowercase() {
        b'a' => letter.is_ascii_alphabetic(),
        b'c' => letter.is_ascii_control(),
        b'd' => letter.is_ascii_digit(),
        b'g' => letter.is_ascii_graphic(),
        b'l' => letter.is_ascii_lowercase(),
        b'p' => letter.is_ascii_punctuation(),
        b's' => matches!(letter, b'\t'..=b'\r' | b' '),
        b'u' => letter.is_ascii_uppercase(),
        b'w' => letter.is_ascii_alphanumeric(),
        b'x' => letter.is_ascii_hexdigit(),
        b'z' => letter == 0,
        _ => return class == letter,
    };
    found != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both matchers over the same texts and patterns, errors included.
    const COMPARE: &str = r##"
        local ours = ...
        local theirs = string.find
        local seed = 12345
        local function random(limit)
          seed = (seed * 1103515245 + 12345) % 2147483648
          return math.floor(seed / 65536) % limit + 1
        end
        local items = {
          "a", "b", ".", "%a", "%A", "%d", "%s", "%w", "%x", "%p", "%z", "%g", "[ab]", "[^ab]",
          "[a-c]", "[]]", "[^]]", "[%]a]", "[a-]", "[%d-z]", "(", ")", "()", "%b()", "%bab",
          "%f[%a]", "%f[^a]", "%1", "%2", "^", "$", "*", "+", "-", "?", "%", "[", "%%", "\0",
        }
        local letters = { "a", "b", "c", "1", " ", "(", ")", "]", "-", "\0", "_", "Z", "\255", "\v" }
        local function some(list, most)
          local made = {}
          for i = 1, random(most) do made[i] = list[random(#list)] end
          return table.concat(made)
        end
        local function show(...)
          local made = {}
          for i = 1, select("#", ...) do made[i] = tostring((select(i, ...))) end
          return table.concat(made, "|")
        end
        local matched = 0
        for round = 1, 60000 do
          -- Without a special character LuaJIT looks for plain text, which never comes here.
          local pattern, text, from = some(items, 6) .. ".-", some(letters, 9), random(12) - 4
          local expected = show(pcall(theirs, text, pattern, from))
          local found = show(pcall(ours, text, pattern, from))
          if expected:sub(1, 5) == "false" then
            expected, found = "an error", found:sub(1, 5) == "false" and "an error" or found
          elseif expected ~= "true|nil" then
            matched = matched + 1
          end
          if expected ~= found then
            error(string.format("find(%q, %q, %d): %s, expected %s", text, pattern, from, found, expected))
          end
        end
        return matched
    "##;

    #[test]
    fn results_are_those_of_luajit() {
        let lua = Lua::new();
        let ours = lua.create_function(find).unwrap();
        let matched: u32 = lua.load(COMPARE).call(ours).unwrap();
        assert!(matched > 5000, "{matched}");
    }
}
