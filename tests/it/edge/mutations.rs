//! Well-formed messages with a few bytes changed: whatever comes of it, both sides see HTTP and
//! agree on where one message ends and the next begins.
//!
//! The changes are pseudo-random but the same in every run; a failure shows the bytes.

use std::time::Duration;

use test_harness::upstream::response;
use test_harness::{Client, Definition, Failure, Upstream};

use super::{PROMPT, shown};
use crate::gateway;

/// How many changed messages each test sends.
const ROUNDS: u64 = 1_500;

/// Bytes that parsers treat specially.
const SPECIAL: &[u8] = b"\r\n\t \0\x0b\x0c\x7f\x80\xff:;,=\"/?#%.+-0159afxGHT";

/// A small generator (xorshift): the suite needs variety, not randomness.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    /// Changes one or two places: a byte replaced, put in or taken out, or a line doubled.
    fn change(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(2) {
            let place = self.below(bytes.len());
            let special = SPECIAL[self.below(SPECIAL.len())];
            match self.below(8) {
                0..=2 => bytes[place] = special,
                3..=5 => bytes.insert(place, special),
                6 => drop(bytes.remove(place)),
                _ => {
                    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                    let line = lines[self.below(lines.len())].to_vec();
                    let place = lines[0].len();
                    bytes.splice(place..place, line);
                }
            }
        }
    }
}

/// A tail that a parser out of step would take for a request.
const TAIL: &str = "GET /tail HTTP/1.1\r\nHost: x\r\n\r\n";

/// The end of every connection.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// When to take an unanswered message for an unfinished one. Too short a time tests less, but
/// fails nothing.
const PATIENCE: Duration = Duration::from_millis(150);

fn requests() -> [Vec<u8>; 4] {
    [
        b"GET /first?a=b HTTP/1.1\r\nHost: a.example\r\nX-A: b\r\n\r\n".to_vec(),
        b"POST /first HTTP/1.1\r\nHost: a.example\r\nContent-Length: 11\r\n\r\nhello world"
            .to_vec(),
        b"POST /first HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n\
          5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-T: v\r\n\r\n"
            .to_vec(),
        format!(
            "POST /first HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a.example\r\n\r\n\
             {:x}\r\n{TAIL}\r\n0\r\n\r\n",
            TAIL.len()
        )
        .into_bytes(),
    ]
}

/// Sends a changed request and two sound ones; returns the bodies of all successes and what came
/// after the last response.
fn exchange(mut client: Client, bytes: &[u8]) -> (Vec<String>, Failure) {
    client.read_limit(PATIENCE);
    client.send(bytes).send(TAIL).send(LAST);
    let mut answered = Vec::new();
    let mut half_closed = false;
    loop {
        match client.read_final("GET") {
            Ok(response) if response.status == 200 => answered.push(response.text()),
            Ok(_) => {}
            // The change made a message that wants more bytes: there are none.
            Err(Failure::TimedOut(_)) if !half_closed => {
                client.half_close().read_limit(PROMPT);
                half_closed = true;
            }
            Err(end) => return (answered, end),
        }
    }
}

#[test]
fn changed_requests_never_put_the_two_sides_out_of_step() {
    let upstream =
        Upstream::answering(|received| response(200, "text/plain", received.target.as_bytes()));
    let api = Definition::new("a")
        .listen("/")
        .keep_listen_path()
        .upstream(&upstream);
    let gateway = gateway().api(api).start();
    for round in 0..ROUNDS {
        let mut dice = Dice::new(round + 1);
        let mut bytes = requests()[dice.below(4)].clone();
        dice.change(&mut bytes);
        let (answered, end) = exchange(gateway.connect(), &bytes);
        assert!(
            matches!(end, Failure::Closed | Failure::Reset),
            "{end:?} after {}",
            shown(&bytes)
        );
        assert_eq!(
            gateway.get("/settled").status,
            200,
            "after {}",
            shown(&bytes)
        );
        let mut seen = upstream.take();
        seen.retain(|received| received.target != "/settled");
        for received in &seen {
            assert!(
                received.problems.is_empty(),
                "{received:?} after {}",
                shown(&bytes)
            );
        }
        // Every success that the client saw is a request that the upstream saw, in order.
        let mut targets = seen.iter().map(|received| received.target.as_str());
        for target in &answered {
            let found = targets.any(|seen| seen == target);
            assert!(
                found,
                "{answered:?} answered, {seen:?} seen after {}",
                shown(&bytes)
            );
        }
    }
}

fn responses() -> [&'static [u8]; 4] {
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n\
          5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-T: v\r\n\r\n",
        b"HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nSet-Cookie: a=b\r\nConnection: close\r\n\r\nuntil the end",
    ]
}

#[test]
fn changed_responses_reach_the_client_as_http_or_not_at_all() {
    let upstream = Upstream::serving(|connection| {
        if let Some(received) = connection.next_request() {
            let round: u64 = received.target.trim_start_matches('/').parse().unwrap();
            connection.send(changed_response(round));
        }
    });
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    for round in 0..ROUNDS {
        let mut client = gateway.connect();
        client.read_limit(PROMPT);
        client.send(format!(
            "GET /a/{round} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ));
        let result = client.read_final("GET");
        let fine = match &result {
            Ok(_) => client.ends(),
            Err(Failure::Truncated(_) | Failure::Reset) => true,
            Err(_) => false,
        };
        assert!(fine, "{result:?} for {}", shown(&changed_response(round)));
    }
}

fn changed_response(round: u64) -> Vec<u8> {
    let mut dice = Dice::new(round + 1_000_000);
    let mut bytes = responses()[dice.below(4)].to_vec();
    dice.change(&mut bytes);
    bytes
}
