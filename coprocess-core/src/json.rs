//! What languages share that read JSON themselves, straight into their own values.

/// The letter that an escape at the start stands for, and the length of the escape. Half of a
/// pair of surrogates is none.
pub fn escape(text: &[u8]) -> Option<(char, usize)> {
    let letter = match *text.get(1)? {
        byte @ (b'"' | b'\\' | b'/') => char::from(byte),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(text),
        _ => return None,
    };
    Some((letter, 2))
}

fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let first = hex(text.get(2..6)?)?;
    if let Some(letter) = char::from_u32(first) {
        return Some((letter, 6));
    }
    if !matches!(first, 0xd800..0xdc00) || text.get(6..8)? != b"\\u" {
        return None;
    }
    let second = hex(text.get(8..12)?)?;
    let low = second.checked_sub(0xdc00).filter(|&low| low < 0x400)?;
    let letter = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + low)?;
    Some((letter, 12))
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, &digit| {
        Some(number << 4 | char::from(digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_letters() {
        for (text, expected) in [
            (r"\n", Some(('\n', 2))),
            (r"\/", Some(('/', 2))),
            (r"\u0041x", Some(('A', 6))),
            (r"\uD83D\uDE00", Some(('😀', 12))),
            (r"\ud83d", None),
            (r"\ud83d\n12345", None),
            (r"\ud83d\u0041", None),
            (r"\ude00", None),
            (r"\u00g0", None),
            (r"\u+041", None),
            (r"\x", None),
            (r"\", None),
        ] {
            assert_eq!(escape(text.as_bytes()), expected, "{text}");
        }
    }
}
