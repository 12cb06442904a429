//! Finding where plain text ends, eight bytes at a time.

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGHS: u64 = ONES << 7;

const SPACES: u64 = ONES * 0x20;

/// How many bytes at the start are text as it stands between the quotes of JSON, which ends at
/// quotes, backslashes and control characters.
#[inline]
pub(super) fn text(bytes: &[u8]) -> usize {
    unmarked(bytes, ends_text)
}

/// How many bytes at the start are printable ASCII that needs no escape in JSON.
#[inline]
pub(super) fn printable(bytes: &[u8]) -> usize {
    unmarked(bytes, |word| {
        ends_text(word) | word & HIGHS | equal(word, 0x7f)
    })
}

/// The length and the bytes, the first one lowest, of a text below eight bytes that ends with
/// quotes.
#[inline]
pub(super) fn short_text(bytes: &[u8]) -> Option<(usize, u64)> {
    let word = u64::from_le_bytes(*bytes.first_chunk()?);
    let marked = ends_text(word);
    if marked == 0 {
        return None;
    }
    let length = first(marked);
    let end = word >> (length * 8);
    (end as u8 == b'"').then_some((length, word & !(u64::MAX << (length * 8))))
}

#[inline]
fn ends_text(word: u64) -> u64 {
    below(word, 0x20) | equal(word, b'"') | equal(word, b'\\')
}

/// Marks the bytes below a limit of at most 128, in their highest bits. A mark that is wrong
/// comes only after one that is right.
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGHS
}

/// Marks the bytes that are equal, as [`below`] does.
fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * u64::from(byte)), 1)
}

/// How many bytes come before the first that is marked. Most texts are shorter than a word.
#[inline]
fn unmarked(bytes: &[u8], marks: impl Fn(u64) -> u64) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let marked = marks(u64::from_le_bytes(*word));
        if marked != 0 {
            return index * 8 + first(marked);
        }
    }
    if marks(filled(rest)) == 0 {
        return bytes.len();
    }
    let is_plain = |byte: &&u8| marks(u64::from(**byte) | SPACES << 8) == 0;
    words.len() * 8 + rest.iter().take_while(is_plain).count()
}

/// Fewer than eight bytes as a word, with some of them twice or with spaces beside them.
#[inline]
fn filled(bytes: &[u8]) -> u64 {
    if let (Some(low), Some(high)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)) << 32;
    }
    if let (Some(low), Some(high)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (low, high) = (u16::from_le_bytes(*low), u16::from_le_bytes(*high));
        return u64::from(low) | u64::from(high) << 16 | SPACES << 32;
    }
    let byte = bytes.first().copied().unwrap_or(b' ');
    u64::from(byte) | SPACES << 8
}

#[inline]
fn first(marked: u64) -> usize {
    marked.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_told_with_its_bytes() {
        for (bytes, expected) in [
            (
                &b"ab\":1234"[..],
                Some((2, u64::from_le_bytes(*b"ab\0\0\0\0\0\0"))),
            ),
            (b"\":123456", Some((0, 0))),
            (b"1234567\"", Some((7, u64::from_le_bytes(*b"1234567\0")))),
            (b"12345678\"", None),
            (b"a\\\"12345", None),
            (b"a\n\"12345", None),
            (b"a\"", None),
        ] {
            assert_eq!(short_text(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn the_first_byte_that_is_special_is_found_wherever_it_is() {
        for byte in 0..=u8::MAX {
            let ends = byte < 0x20 || byte == b'"' || byte == b'\\';
            let prints = !ends && byte < 0x7f;
            for before in 0..20 {
                for after in 0..10 {
                    let bytes = [vec![b'a'; before], vec![byte], vec![b'"'; after]].concat();
                    let length = |goes_on: bool| before + usize::from(goes_on);
                    assert_eq!(text(&bytes), length(!ends), "{bytes:?}");
                    assert_eq!(printable(&bytes), length(prints), "{bytes:?}");
                }
            }
        }
    }
}
