//! RFC 9110, section 7.2, and RFC 9112, section 3.2: one host, well-formed.

use super::{Case, check, passes, refused};

fn host(value: &[u8]) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: ", value, b"\r\n\r\n"].concat()
}

#[test]
fn a_missing_host_is_refused() {
    check(&[
        Case::new("none", b"GET / HTTP/1.1\r\n\r\n", refused(&[400])),
        Case::new(
            "none, absolute",
            b"GET http://a.example/ HTTP/1.1\r\n\r\n",
            refused(&[400]),
        ),
        Case::new("empty", host(b""), refused(&[400])),
        Case::new("blank", host(b"  "), refused(&[400])),
    ]);
}

#[test]
fn a_repeated_host_is_refused() {
    let mut cases = Vec::new();
    for second in [
        "Host: a.example",
        "Host: b.example",
        "hOST:a.example",
        "Host:",
        "Host : a.example",
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{second}\r\n\r\n");
        cases.extend([Case::new(second, bytes, refused(&[400]))]);
        let bytes =
            format!("GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n{second}\r\n\r\n");
        cases.extend([Case::new(second, bytes, refused(&[400]))]);
    }
    check(&cases);
}

#[test]
fn a_malformed_host_is_refused() {
    let values: &[&[u8]] = &[
        b"a b",
        b"a@b",
        b"user:pw@a",
        b"a/b",
        b"a/",
        b"/",
        b"a?b",
        b"a#b",
        b"a\\b",
        b"a,b",
        b"a, b",
        b"a;b",
        b"a<b",
        b"a\"b",
        b"a\tb",
        b"a\x00b",
        b"a\x7fb",
        b"\xc3\xa4.example",
        b"http://a",
        b"a:bad",
        b"a:80x",
        b"a:-1",
        b"a:+80",
        b"a: 80",
        b"a:99999",
        b"a:80:80",
        b":80",
        b"[",
        b"]",
        b"[::1",
        b"::1",
        b"[::1]x",
        b"[zz]",
        b"[::1]:x",
        b"[]",
        b"a[b]",
        b"[1.2.3.4]",
        b"%00",
        b"a%2fb",
    ];
    let cases: Vec<Case> = values
        .iter()
        .map(|value| {
            Case::new(
                &value.escape_ascii().to_string(),
                host(value),
                refused(&[400]),
            )
        })
        .collect();
    check(&cases);
}

#[test]
fn well_formed_hosts_pass() {
    let values = [
        "a",
        "a.example",
        "A.Example",
        "a-b.example",
        "a_b.example",
        "a.example.",
        "a:80",
        "a:0",
        "a:65535",
        "127.0.0.1",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:8080",
        "[2001:db8::1]",
        "xn--4ca.example",
    ];
    let cases: Vec<Case> = values
        .iter()
        .map(|value| {
            let seen = format!("host: {value}\r\n");
            Case::new(value, host(value.as_bytes()), passes(&[&seen], &[]))
        })
        .collect();
    check(&cases);
}

#[test]
fn an_http_1_0_request_needs_no_host() {
    check(&[
        Case::new(
            "without",
            b"GET / HTTP/1.0\r\n\r\n",
            passes(&["GET / HTTP/1.1\r\n"], &[]),
        ),
        Case::new(
            "with",
            b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n",
            passes(&["host: a.example\r\n"], &[]),
        ),
        Case::new(
            "two",
            b"GET / HTTP/1.0\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
            refused(&[400]),
        ),
    ]);
}
