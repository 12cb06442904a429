//! Rust source with comments and the insides of literals blanked out, so that words and
//! braces can be counted without a parser. Lines and columns stay where they are.

/// Blanks comments, strings and characters; line ends stay.
pub(crate) fn mask(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_or_comment_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        for &c in &chars[at..end] {
            out.push(if c == '\n' { '\n' } else { ' ' });
        }
        at = end;
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself when none starts there.
fn literal_or_comment_end(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => find(chars, at, |c| c == '\n'),
        '/' if next == Some('*') => block_comment_end(chars, at),
        '"' => string_end(chars, at),
        '\'' => character_end(chars, at),
        'r' | 'b' | 'c' if !follows_word(chars, at) => prefixed_string_end(chars, at),
        _ => at,
    }
}

fn follows_word(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

fn find(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    chars[from..]
        .iter()
        .position(|&c| wanted(c))
        .map_or(chars.len(), |offset| from + offset)
}

/// Block comments nest.
fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// A character literal; a lifetime or a label is none.
fn character_end(chars: &[char], quote: usize) -> usize {
    match (chars.get(quote + 1), chars.get(quote + 2)) {
        (Some('\\'), _) => {
            // The escaped character itself may be a quote.
            let end = find(chars, (quote + 3).min(chars.len()), |c| c == '\'');
            (end + 1).min(chars.len())
        }
        (Some(_), Some('\'')) => quote + 3,
        _ => quote,
    }
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `c"…"`: raw ones know no escapes and end at their hashes.
fn prefixed_string_end(chars: &[char], start: usize) -> usize {
    let letters = find(chars, start, |c| !matches!(c, 'r' | 'b' | 'c'));
    let hashes = find(chars, letters, |c| c != '#') - letters;
    let quote = letters + hashes;
    if letters - start > 2 || chars.get(quote) != Some(&'"') {
        return start;
    }
    if !chars[start..letters].contains(&'r') {
        return if hashes == 0 {
            string_end(chars, quote)
        } else {
            start
        };
    }
    let mut at = quote + 1;
    while at < chars.len() {
        let closes = chars[at] == '"'
            && chars.len() > at + hashes
            && chars[at + 1..=at + hashes].iter().all(|&c| c == '#');
        if closes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    chars.len()
}

/// The line, counted from 1, of a byte offset.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset]
        .iter()
        .filter(|&&byte| byte == b'\n')
        .count()
}

/// Byte offsets at which `word` stands alone.
pub(crate) fn word_offsets(text: &str, word: &str) -> Vec<usize> {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(|&at| {
            !text[..at].ends_with(part_of_word)
                && !text[at + word.len()..].starts_with(part_of_word)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &str) {
        assert_eq!(mask(source), expected, "of {source}");
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        check("a // b {\nc", "a       \nc");
        check("a /* b /* { */ */ c", "a                 c");
        check(r#"f("a\"}" , x)"#, r"f(       , x)");
        check(r##"f(r#"a"}"#)"##, "f(        )");
        check("f(b\"}\", br\"\\\", c\"x\")", "f(    ,      ,     )");
        check("m('{', '\\'', '\\u{7d}')", "m(   ,     ,         )");
    }

    #[test]
    fn code_stays() {
        for source in [
            "fn f<'a>(x: &'a str) {}",
            "'outer: loop { break 'outer; }",
            "let bar = r * c / b;",
            "x.r#type()",
        ] {
            check(source, source);
        }
    }

    #[test]
    fn unterminated_ends_with_the_file() {
        check("a \"b", "a   ");
        check("a /* b", "a     ");
        check("a '\\", "a   ");
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(word_offsets("foo foo_bar xfoo (foo)", "foo"), [0, 18]);
        assert_eq!(line_of("a\nb\nc", 4), 3);
    }
}
