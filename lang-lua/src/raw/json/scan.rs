//! The parts of JSON that are bytes: runs of plain text, numbers.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// How many bytes at the start stand for themselves: no control sign, quote or backslash, and
/// no slash where it is to be escaped.
pub(super) fn plain(text: &[u8], with_slash: bool) -> usize {
    let mut at = 0;
    while let Some(eight) = text.get(at..at + 8) {
        let word = u64::from_le_bytes(eight.try_into().expect("eight bytes"));
        let mut found = less_than_space(word) | has(word, b'"') | has(word, b'\\');
        if with_slash {
            found |= has(word, b'/');
        }
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = text[at..].iter().position(|&byte| {
        byte < b' ' || byte == b'"' || byte == b'\\' || with_slash && byte == b'/'
    });
    rest.map_or(text.len(), |place| at + place)
}

/// The lowest bit that is set tells the first byte of this value; those above may be wrong.
fn has(word: u64, byte: u8) -> u64 {
    let zero_there = word ^ (ONES * u64::from(byte));
    zero_there.wrapping_sub(ONES) & !zero_there & HIGH
}

/// The same for bytes below the space.
fn less_than_space(word: u64) -> u64 {
    word.wrapping_sub(ONES * u64::from(b' ')) & !word & HIGH
}

/// The powers of ten that are exact.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The number at the start and its length; none when it is not one, or beyond all bounds.
pub(super) fn number(text: &[u8]) -> Option<(f64, usize)> {
    let mut at = usize::from(text.first() == Some(&b'-'));
    let is_negative = at == 1;
    let first = at;
    let mut digits = 0_u64;
    let mut take = |at: &mut usize| {
        let start = *at;
        while let Some(digit) = text.get(*at).map(|byte| byte.wrapping_sub(b'0'))
            && digit < 10
        {
            // What overflows has so many digits that it is read again below.
            digits = digits.wrapping_mul(10).wrapping_add(digit.into());
            *at += 1;
        }
        *at - start
    };
    let whole = take(&mut at);
    if whole == 0 || whole > 1 && text[first] == b'0' {
        return None;
    }
    let mut fraction = 0;
    if text.get(at) == Some(&b'.') {
        at += 1;
        fraction = take(&mut at);
        if fraction == 0 {
            return None;
        }
    }
    let has_exponent = matches!(text.get(at), Some(b'e' | b'E'));
    if has_exponent {
        at = exponent_end(text, at + 1)?;
    }
    // Up to 19 digits are a number of 64 bits; up to 53 bits, divided by a power that is
    // exact, are rounded once. A whole number is rounded once in any case.
    let is_short = whole + fraction <= 19 && !has_exponent;
    let number = if is_short && fraction == 0 {
        digits as f64
    } else if is_short && digits < 1 << f64::MANTISSA_DIGITS {
        digits as f64 / POWERS[fraction]
    } else {
        let text = std::str::from_utf8(&text[first..at]).ok()?;
        text.parse()
            .ok()
            .filter(|number: &f64| number.is_finite())?
    };
    Some((if is_negative { -number } else { number }, at))
}

fn exponent_end(text: &[u8], mut at: usize) -> Option<usize> {
    if matches!(text.get(at), Some(b'+' | b'-')) {
        at += 1;
    }
    let digits = text.get(at..)?.iter();
    let count = digits.take_while(|byte| byte.is_ascii_digit()).count();
    (count > 0).then_some(at + count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_ends_at_the_first_sign_wherever_it_is() {
        let plain_bytes = "abc \u{7f}é€😀/xyz0123456789";
        assert_eq!(plain(plain_bytes.as_bytes(), false), plain_bytes.len());
        for sign in ["\"", "\\", "\0", "\u{1f}", "\n"] {
            for place in 0..30 {
                let text = format!("{}{sign}{}", "é".repeat(place), "\"x".repeat(5));
                assert_eq!(plain(text.as_bytes(), false), place * 2, "{text:?}");
            }
        }
        assert_eq!(plain(b"0123456789/", true), 10);
        assert_eq!(plain(b"01/3456789", true), 2);
    }

    #[test]
    fn numbers_are_those_that_rust_reads() {
        for text in [
            "0",
            "-0",
            "7",
            "12.5",
            "-0.1",
            "1e5",
            "1E-7",
            "2.5e+3",
            "123456789012345678",
            "9007199254740993",
            "18446744073709551615",
            "99999999999999999999",
            "0.1234567890123456789",
            "61.5",
            "1e22",
            "1e23",
            "4.9e-324",
            "1e-400",
            "0.000001",
            "3.141592653589793",
        ] {
            let (found, length) = number(format!("{text},").as_bytes()).unwrap();
            let expected: f64 = text.parse().unwrap();
            assert_eq!(found.to_bits(), expected.to_bits(), "{text}");
            assert_eq!(length, text.len());
        }
        for text in [
            "", "-", "01", "-01", ".5", "1.", "1.e1", "1e", "1e+", "+1", "1e400", "x",
        ] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }
}
