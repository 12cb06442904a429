//! What an upstream may say in a response's head, and what becomes of what it may not.

use test_harness::{Definition, Failure, Request, Response, Upstream};

use crate::gateway;

const PROBLEM: &str = "There was a problem proxying the request";

/// One gateway for all answers: the request says which one the upstream is to give.
fn answers(all: &[&[u8]]) -> Vec<Result<Response, Failure>> {
    let bytes: Vec<Vec<u8>> = all.iter().map(|answer| answer.to_vec()).collect();
    let upstream = Upstream::serving(move |connection| {
        if let Some(received) = connection.next_request() {
            let number: usize = received.target.trim_start_matches('/').parse().unwrap();
            connection.send(&bytes[number]);
        }
    });
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    (0..all.len())
        .map(|number| {
            gateway
                .connect()
                .try_request(&Request::get(&format!("/a/{number}")))
        })
        .collect()
}

fn assert_all_502(all: &[&[u8]]) {
    let mut failures = Vec::new();
    for (answer, result) in all.iter().zip(answers(all)) {
        let right = matches!(&result, Ok(response) if response.status == 502
            && response.text() == test_harness::message::error_body(PROBLEM));
        if !right {
            let start = &answer[..answer.len().min(120)];
            failures.push(format!("{}: {result:?}", start.escape_ascii()));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        all.len(),
        failures.join("\n")
    );
}

#[test]
fn what_is_not_http_is_a_bad_gateway() {
    assert_all_502(&[
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"<html>HTTP/0.9</html>",
        b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 -200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: b\x00c\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 0\r\n\r\n",
    ]);
}

#[test]
fn framing_that_can_be_read_in_two_ways_is_a_bad_gateway() {
    assert_all_502(&[
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: cow\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: cow, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: cow\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    ]);
}

#[test]
fn chunks_win_over_a_length_or_both_are_refused() {
    let all: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 50\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ];
    for result in answers(all) {
        let response = result.unwrap();
        assert!(
            response.status == 502 || response.text() == "hello",
            "{response:?}"
        );
    }
}

#[test]
fn a_length_said_twice_alike_is_said_once_or_refused() {
    let all: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    ];
    for result in answers(all) {
        let response = result.unwrap();
        assert!(
            response.status == 502 || response.text() == "hello",
            "{response:?}"
        );
    }
}

#[test]
fn sloppy_heads_are_tidied_or_refused_but_never_passed_on() {
    // The client of this suite takes none of these for HTTP, so getting a response is the proof.
    let all: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\nX-A: b\nContent-Length: 5\n\nhello",
        b"HTTP/1.1 200 OK\r\nX-A: b\rc\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 O\x01K\r\nContent-Length: 5\r\n\r\nhello",
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ];
    for (answer, result) in all.iter().zip(answers(all)) {
        let response =
            result.unwrap_or_else(|failure| panic!("{}: {failure:?}", answer.escape_ascii()));
        assert!(
            response.status == 502 || response.text() == "hello",
            "{response:?}"
        );
    }
}

#[test]
fn a_huge_head_is_a_bad_gateway() {
    let field = format!(
        "HTTP/1.1 200 OK\r\nX-A: {}\r\nContent-Length: 0\r\n\r\n",
        "b".repeat(2_000_000)
    );
    let fields = (0..20_000)
        .map(|n| format!("X-{n}: b\r\n"))
        .collect::<String>();
    let fields = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n");
    assert_all_502(&[field.as_bytes(), fields.as_bytes()]);
}

#[test]
fn unusual_but_legal_heads_pass() {
    let all: &[&[u8]] = &[
        b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 Gr\xc3\xbc\xc3\x9fe\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX-Empty:\r\nContent-Length:5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ];
    for (answer, result) in all.iter().zip(answers(all)) {
        let response = result.unwrap();
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "hello"),
            "{}",
            answer.escape_ascii()
        );
    }
}

#[test]
fn interim_responses_come_before_the_final_one() {
    let all: &[&[u8]] = &[
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ];
    for (answer, result) in all.iter().zip(answers(all)) {
        let response = result.unwrap();
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "hello"),
            "{}",
            answer.escape_ascii()
        );
    }
}

#[test]
fn a_connection_closed_before_the_answer_is_told_in_the_documented_form() {
    let all: &[&[u8]] = &[b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nX-A: b\r\n"];
    for result in answers(all) {
        let response = result.unwrap();
        assert!(matches!(response.status, 500 | 502), "{response:?}");
        assert_eq!(response.text(), test_harness::message::error_body(PROBLEM));
    }
}

#[test]
fn switching_protocols_unasked_is_a_bad_gateway() {
    assert_all_502(&[
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ]);
}
