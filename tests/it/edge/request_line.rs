//! RFC 9112, sections 2 and 3: the request line and what surrounds it.

use super::{Case, check, passes, refused, refused_or_passes};

fn case(line: &[u8], outcome: super::Outcome) -> Case {
    let bytes = [line, b"\r\nHost: a.example\r\n\r\n"].concat();
    Case::new(&line.escape_ascii().to_string(), bytes, outcome)
}

#[test]
fn malformed_request_lines_are_refused() {
    let lines: &[&[u8]] = &[
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET / HTTP/1.1 x",
        b" GET / HTTP/1.1",
        b"GET\t/\tHTTP/1.1",
        b"GET /\tHTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET",
        b"GET HTTP/1.1",
        b"GET  HTTP/1.1",
        b"GET / HTTP/1.1\rX: y",
        b"GET / HTTP/",
        b"GET / HTTP/1",
        b"GET / HTTP/1.",
        b"GET / HTTP/.1",
        b"GET / HTTP/1.1.1",
        b"GET / HTTP/+1.1",
        b"GET / HTTP/01.1",
        b"GET / http/1.1",
        b"GET / Http/1.1",
        b"GET / HTTP/1.\xb9",
        b"GET / HTTPS/1.1",
        b"GET / ICY/1.1",
        b"G\x00T / HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"G@T / HTTP/1.1",
        b"G\"T / HTTP/1.1",
        b"G\xc3\x84T / HTTP/1.1",
        b"GET: / HTTP/1.1",
        b"/ GET HTTP/1.1",
        b"\x00GET / HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    ];
    check(
        &lines
            .iter()
            .map(|line| case(line, refused(&[400])))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn versions_that_are_not_1_x_are_refused() {
    let lines: &[&[u8]] = &[
        b"GET / HTTP/2.0",
        b"GET / HTTP/0.9",
        b"GET / HTTP/3.1",
        b"GET / HTTP/9.9",
    ];
    check(
        &lines
            .iter()
            .map(|line| case(line, refused(&[400, 505])))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn a_request_without_a_version_is_refused() {
    check(&[
        Case::new("0.9", b"GET /\r\n\r\n", refused(&[400])),
        Case::new("0.9, bare LF", b"GET /\n\n", refused(&[400])),
    ]);
}

#[test]
fn empty_lines_before_a_request_are_passed_over() {
    let bytes = b"\r\nGET /x HTTP/1.1\r\nHost: a.example\r\n\r\n";
    check(&[Case::new(
        "one CRLF",
        bytes,
        passes(&["GET /x HTTP/1.1\r\n"], &[]),
    )]);
}

#[test]
fn line_ends_are_crlf_or_made_so() {
    check(&[
        Case::new(
            "bare LF everywhere",
            b"GET / HTTP/1.1\nHost: a.example\nX-A: b\n\n",
            refused_or_passes(&["GET / HTTP/1.1\r\n", "x-a: b\r\n"], &[]),
        ),
        Case::new(
            "bare LF after the request line",
            b"GET / HTTP/1.1\nHost: a.example\r\n\r\n",
            refused_or_passes(&["GET / HTTP/1.1\r\n"], &[]),
        ),
        Case::new(
            "bare CR everywhere",
            b"GET / HTTP/1.1\rHost: a.example\r\r\n\r\n",
            refused(&[400]),
        ),
        Case::new(
            "CR CR LF after the request line",
            b"GET / HTTP/1.1\r\r\nHost: a.example\r\n\r\n",
            refused(&[400]),
        ),
        Case::new(
            "CR CR LF after a field",
            b"GET / HTTP/1.1\r\nHost: a.example\r\nX: y\r\r\n\r\n",
            refused(&[400]),
        ),
    ]);
}

#[test]
fn whitespace_before_the_first_field_is_refused() {
    let mut cases = Vec::new();
    for start in [" ", "\t", " \r\n", "  X: y\r\n"] {
        let bytes = format!("GET / HTTP/1.1\r\n{start}Host: a.example\r\n\r\n");
        cases.extend([Case::new(&format!("{start:?}"), bytes, refused(&[400]))]);
    }
    check(&cases);
}
