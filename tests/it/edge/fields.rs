//! RFC 9110, section 5, and RFC 9112, section 5: field lines by the letter.

use super::{Case, check, passes, refused, refused_or_passes, with_lines};

#[test]
fn malformed_field_lines_are_refused() {
    let lines: &[&[u8]] = &[
        b"X-A : b\r\n",
        b"X-A\t: b\r\n",
        b"X A: b\r\n",
        b": b\r\n",
        b"X-A\r\n",
        b"X-A b\r\n",
        b"X(A): b\r\n",
        b"X@A: b\r\n",
        b"X/A: b\r\n",
        b"X\"A: b\r\n",
        b"X{A}: b\r\n",
        b"X\x00A: b\r\n",
        b"X\x7fA: b\r\n",
        b"X\xc3\xa4: b\r\n",
        b"X-A: b\x00c\r\n",
        b"X-A: b\rc\r\n",
        b"X-A: b\r\r\n",
        b"X-A: b\rX-B: c\r\n",
        b"\r: b\r\n",
    ];
    let cases: Vec<Case> = lines
        .iter()
        .map(|line| {
            Case::new(
                &line.escape_ascii().to_string(),
                with_lines(line),
                refused(&[400]),
            )
        })
        .collect();
    check(&cases);
}

#[test]
fn folded_lines_are_refused_or_unfolded() {
    let mut cases = Vec::new();
    for line in [
        "X-A: b\r\n c\r\n",
        "X-A: b\r\n\tc\r\n",
        "X-A: b\r\n  \r\n",
        "X-A:\r\n b\r\n",
    ] {
        cases.extend([Case::new(
            line,
            with_lines(line),
            refused_or_passes(&[], &["\r\n ", "\r\n\t"]),
        )]);
    }
    // Framing must never be read across a fold.
    for line in [
        "Transfer-Encoding:\r\n chunked\r\n",
        "Content-Length: 1\r\n 0\r\n",
    ] {
        let bytes = super::post(line, "0\r\n\r\n");
        cases.extend([Case::new(line, bytes, refused(&[400]))]);
    }
    check(&cases);
}

#[test]
fn control_bytes_in_values_never_reach_an_upstream() {
    let mut cases = Vec::new();
    for byte in [0x01_u8, 0x08, 0x0b, 0x0c, 0x1b, 0x1f, 0x7f] {
        let line = [b"X-A: b", &[byte][..], b"c\r\n"].concat();
        let unwanted = char::from(byte).to_string();
        let outcome = refused_or_passes(&["x-a: b"], &[&unwanted]);
        cases.extend([Case::new(&format!("{byte:#x}"), with_lines(line), outcome)]);
    }
    check(&cases);
}

#[test]
fn unusual_but_legal_fields_pass() {
    let mut cases = Vec::new();
    for (line, seen) in [
        ("X-A:b\r\n", "x-a: b\r\n"),
        ("X-A:   b  \r\n", "x-a: b\r\n"),
        ("X-A:\tb\t\r\n", "x-a: b\r\n"),
        ("X-A: b c\td\r\n", "x-a: b c\td\r\n"),
        ("X-A:\r\n", "x-a:"),
        ("X-A: gr\u{fc}\u{df}e\r\n", "x-a: gr\u{fc}\u{df}e\r\n"),
        ("X!#$%&'*+-.^_`|~9: b\r\n", "x!#$%&'*+-.^_`|~9: b\r\n"),
        (
            "X-A: \"quoted, \\\" text\"\r\n",
            "x-a: \"quoted, \\\" text\"\r\n",
        ),
        ("X-A: a:b: c\r\n", "x-a: a:b: c\r\n"),
    ] {
        cases.extend([Case::new(line, with_lines(line), passes(&[seen], &[]))]);
    }
    check(&cases);
}

#[test]
fn repeated_fields_keep_their_order() {
    let bytes = with_lines("X-A: 1\r\nX-B: x\r\nX-A: 2\r\nX-A: 3\r\n");
    check(&[Case::new(
        "three",
        bytes,
        refused_or_passes(&["x-a: 1\r\n", "x-a: 2\r\n", "x-a: 3\r\n"], &[]),
    )]);
}

#[test]
fn expectations_that_nobody_knows_are_refused() {
    let outcome = || super::Outcome {
        refusals: vec![417],
        ..passes(&[], &[])
    };
    check(&[Case::new("cow", with_lines("Expect: cow\r\n"), outcome())]);
}
