//! An HTTP/2 client made of single frames, for what no proper client would send.
//!
//! Header blocks are written without compression; of the answer's, only `:status` is read.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::wait::DEADLINE;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;

/// The flag of a stream's last frame, and of an acknowledgement.
pub const END_STREAM: u8 = 1;
/// The flag of a complete header block.
pub const END_HEADERS: u8 = 4;

/// One connection with prior knowledge.
#[derive(Debug)]
pub struct Http2 {
    stream: TcpStream,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered with this status.
    Status(u16),
    /// Its stream was reset with this error code.
    Reset(u32),
    /// The connection was given up with this error code.
    GoAway(u32),
    /// The connection ended without a word.
    Closed,
}

impl Http2 {
    /// Connects and says that no compression state is kept.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        let mut client = Self { stream };
        client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client.frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]);
        client
    }

    /// Sends a frame as it is. A peer that has gone is no error.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend_from_slice(&[kind, flags]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        self.write(&bytes);
    }

    /// Sends a header block in one frame.
    pub fn headers(&mut self, stream: u32, fields: &[(&str, &str)], last: bool) {
        let flags = END_HEADERS | if last { END_STREAM } else { 0 };
        self.frame(HEADERS, flags, stream, &block(fields));
    }

    /// Sends a piece of a body.
    pub fn data(&mut self, stream: u32, bytes: &[u8], last: bool) {
        self.frame(DATA, if last { END_STREAM } else { 0 }, stream, bytes);
    }

    /// Takes a request back.
    pub fn reset(&mut self, stream: u32) {
        self.frame(RESET, 0, stream, &8_u32.to_be_bytes());
    }

    /// Waits until it is known what became of the request on `stream`.
    #[must_use]
    pub fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            let Some((kind, flags, of, payload)) = self.read_frame() else {
                return Outcome::Closed;
            };
            match kind {
                HEADERS if of == stream => match status(&payload) {
                    100..=199 => {}
                    status => return Outcome::Status(status),
                },
                RESET if of == stream => return Outcome::Reset(number(&payload)),
                GO_AWAY if number(&payload[4..]) != 0 => {
                    return Outcome::GoAway(number(&payload[4..]));
                }
                SETTINGS if flags & END_STREAM == 0 => self.frame(SETTINGS, END_STREAM, 0, &[]),
                PING if flags & END_STREAM == 0 => self.frame(PING, END_STREAM, 0, &payload),
                _ => {}
            }
        }
    }

    fn read_frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).ok()?;
        Some((head[3], head[4], stream, payload))
    }

    fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }
}

/// A header block of literals that are not to be remembered.
#[must_use]
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            push_length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn push_length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        block.push(u8::try_from(length).unwrap());
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The value of `:status`, which comes first.
fn status(block: &[u8]) -> u16 {
    // Changes of the table's size may come before it.
    let start = block.iter().position(|byte| byte >> 5 != 0b001).unwrap();
    match block[start] {
        indexed @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        literal => {
            assert!(
                matches!(literal, 0x08 | 0x18 | 0x48),
                "no :status in {block:?}"
            );
            let length = usize::from(block[start + 1] & 0x7f);
            let value = &block[start + 2..start + 2 + length];
            match block[start + 1] & 0x80 {
                0 => std::str::from_utf8(value).unwrap().parse().unwrap(),
                _ => digits(value),
            }
        }
    }
}

/// Three digits in the Huffman code of RFC 7541: 0 to 2 have five bits, 3 to 9 have six.
fn digits(bytes: &[u8]) -> u16 {
    let mut bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |place| u16::from(byte >> place & 1)));
    let mut value = 0;
    for _ in 0..3 {
        let five = bits.by_ref().take(5).fold(0, |code, bit| code << 1 | bit);
        let digit = match five {
            0..=2 => five,
            _ => (five << 1 | bits.next().unwrap()) - 0b01_1001 + 3,
        };
        value = value * 10 + digit;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_read_in_every_form() {
        assert_eq!(status(&[0x88]), 200);
        assert_eq!(status(&[0x20, 0x8d, 0x01]), 404);
        assert_eq!(status(&[0x08, 3, b'4', b'0', b'3']), 403);
        // 5 0 2: 011011 00000 00010
        assert_eq!(status(&[0x48, 0x82, 0b0110_1100, 0b0000_0010]), 502);
    }

    #[test]
    fn long_texts_have_long_lengths() {
        let value = "v".repeat(300);
        let block = block(&[("n", &value)]);
        assert_eq!(block[..5], [0, 1, b'n', 127, 0x80 | 45]);
        assert_eq!(block.len(), 6 + 300);
    }
}
