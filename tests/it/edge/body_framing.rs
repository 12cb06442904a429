//! RFC 9112, section 6: how long a request's body is. Where two readers could count
//! differently, the request is refused before an upstream hears of it.

use super::{Case, check, passes, post, refused, refused_or_passes};

#[test]
fn transfer_codings_other_than_chunked_are_refused() {
    let mut cases = Vec::new();
    for lines in [
        "Transfer-Encoding: cow\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: cow, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n",
        "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nX-Between: x\r\nTransfer-Encoding:\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunkedx\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: chunked chunked\r\n",
        "Transfer-Encoding: chunked\x0b\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: chun\tked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer_Encoding: x\r\nTransfer-Encoding: cow\r\n",
    ] {
        cases.extend([Case::new(
            lines,
            post(lines, "5\r\nhello\r\n0\r\n\r\n"),
            refused(&[400, 501]),
        )]);
    }
    check(&cases);
}

#[test]
fn chunked_in_any_case_is_chunked() {
    let mut cases = Vec::new();
    for lines in [
        "Transfer-Encoding: chunked\r\n",
        "transfer-encoding: Chunked\r\n",
        "TRANSFER-ENCODING:CHUNKED\r\n",
    ] {
        let bytes = post(lines, "5\r\nhello\r\n0\r\n\r\n");
        cases.extend([Case::new(
            lines,
            bytes,
            refused_or_passes(&["transfer-encoding: chunked\r\n"], &[]),
        )]);
    }
    check(&cases);
}

#[test]
fn both_a_length_and_chunks_are_refused_or_the_length_is_dropped() {
    let mut cases = Vec::new();
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: x\r\n",
    ] {
        let bytes = post(lines, "5\r\nhello\r\n0\r\n\r\n");
        cases.extend([Case::new(
            lines,
            bytes,
            refused_or_passes(&["transfer-encoding"], &["content-length"]),
        )]);
    }
    check(&cases);
}

#[test]
fn lengths_that_are_not_one_number_are_refused() {
    let mut cases = Vec::new();
    for value in [
        "+5",
        "-5",
        "-0",
        "0x5",
        "5x",
        "x5",
        "5 5",
        "5,6",
        "5, 6",
        "5;",
        "5.0",
        "5e0",
        "1e3",
        "\"5\"",
        "five",
        "",
        " ",
        "99999999999999999999999999",
        "18446744073709551616",
        "18446744073709551621",
        "5\x0b",
        "५",
    ] {
        let line = format!("Content-Length: {value}\r\n");
        cases.extend([Case::new(&line, post(&line, "hello"), refused(&[400, 413]))]);
    }
    for lines in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 6\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 0\r\n",
        "Content-Length: 5\r\nContent-Length: +5\r\n",
        "Content-Length: 5\r\nContent-Length:\r\n",
        "Content-Length : 5\r\n",
    ] {
        cases.extend([Case::new(lines, post(lines, "hello"), refused(&[400]))]);
    }
    check(&cases);
}

#[test]
fn a_length_said_twice_alike_is_refused_or_said_once() {
    let mut cases = Vec::new();
    for lines in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
    ] {
        let outcome = refused_or_passes(&["content-length: 5\r\n"], &["5, 5", "5,5"]);
        cases.extend([Case::new(lines, post(lines, "hello"), outcome)]);
    }
    check(&cases);
}

#[test]
fn leading_zeros_do_not_change_a_length() {
    let outcome = refused_or_passes(&["content-length: "], &["octal"]);
    check(&[Case::new(
        "005",
        post("Content-Length: 005\r\n", "hello"),
        outcome,
    )]);
}

#[test]
fn transfer_encoding_in_http_1_0_is_refused() {
    let bytes = "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    check(&[Case::new("1.0", bytes, refused(&[400, 501]))]);
    let bytes = "POST / HTTP/1.0\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n";
    check(&[Case::new("1.0 with a length", bytes, refused(&[400, 501]))]);
}

#[test]
fn bodies_of_get_and_head_are_framed_like_any_other() {
    let mut cases = Vec::new();
    for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
        for (lines, body) in [
            ("Content-Length: 5\r\n", "hello"),
            ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ] {
            let bytes = format!("{method} / HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n{body}");
            let name = format!("{method} with {lines}");
            cases.extend([Case::new(
                &name,
                bytes,
                passes(&[&format!("{method} / HTTP/1.1\r\n")], &[]),
            )]);
        }
    }
    check(&cases);
}
