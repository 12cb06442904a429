//! One connection of an upstream: reads requests by the letter, records them, sends any bytes.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::message::{Framing, find, framing, parse_headers};
use crate::upstream::{Received, Shared};

/// One connection that an upstream has accepted.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    shared: Arc<Shared>,
    /// The number of this connection, from 0.
    pub index: usize,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, shared: Arc<Shared>) -> Self {
        let _ = stream.set_nodelay(true);
        let index = {
            let mut state = shared.state.lock().unwrap();
            state.sockets.push(stream.try_clone().unwrap());
            state.sockets.len() - 1
        };
        Self {
            stream,
            buffer: Vec::new(),
            shared,
            index,
        }
    }

    /// Reads and records the next request with its whole body. `None` when the connection ends.
    pub fn next_request(&mut self) -> Option<Received> {
        let mut received = self.next_head()?;
        self.read_body(&mut received);
        self.record(&received);
        Some(received)
    }

    /// Reads and records the head of the next request and leaves its body to the caller.
    pub fn next_head(&mut self) -> Option<Received> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if !self.fill() {
                if !self.buffer.is_empty() {
                    self.record_fragment();
                }
                return None;
            }
        };
        let raw_head: Vec<u8> = self.buffer.drain(..end).collect();
        let received = parse_head(raw_head, self.index);
        let mut state = self.shared.state.lock().unwrap();
        state.received.push(received.clone());
        drop(state);
        self.shared.changed.notify_all();
        Some(received)
    }

    /// The next bytes of a body or tunnel; `None` when the connection ends.
    pub fn read_some(&mut self) -> Option<Vec<u8>> {
        if self.buffer.is_empty() && !self.fill() {
            return None;
        }
        Some(std::mem::take(&mut self.buffer))
    }

    /// Reads until the bytes so far contain `needle`; `None` when the connection ends before.
    pub fn read_until(&mut self, needle: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(start) = find(&self.buffer, needle) {
                return Some(self.buffer.drain(..start + needle.len()).collect());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Sends bytes as they are. A peer that has gone is no error.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.try_send(bytes);
    }

    /// Sends bytes as they are and tells whether the peer still took them.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Ends the connection with a reset instead of an orderly close.
    pub fn reset(&mut self) {
        let socket = socket2::SockRef::from(&self.stream);
        let _ = socket.set_linger(Some(Duration::ZERO));
        // The upstream keeps a second handle; the last one to go resets.
        let mut state = self.shared.state.lock().unwrap();
        if let Ok(listener) = TcpListener::bind("127.0.0.1:0")
            && let Ok(placeholder) = TcpStream::connect(listener.local_addr().unwrap())
        {
            state.sockets[self.index] = placeholder.try_clone().unwrap();
            self.stream = placeholder;
        }
    }

    fn read_body(&mut self, received: &mut Received) {
        let framing = match framing(&received.headers, Framing::None) {
            Ok(framing) => framing,
            Err(problem) => {
                received.problems.push(problem);
                Framing::None
            }
        };
        received.complete = match framing {
            Framing::None | Framing::UntilClose => true,
            Framing::Length(length) => loop {
                if self.buffer.len() >= length {
                    received.body = self.buffer.drain(..length).collect();
                    break true;
                }
                if !self.fill() {
                    received.body = std::mem::take(&mut self.buffer);
                    break false;
                }
            },
            Framing::Chunked => self.read_chunks(received).is_some(),
        };
    }

    fn read_chunks(&mut self, received: &mut Received) -> Option<()> {
        loop {
            let line = self.read_until(b"\r\n")?;
            let text = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
            let Ok(size) = usize::from_str_radix(&text, 16) else {
                received.problems.push(format!("chunk size {text:?}"));
                return None;
            };
            if size == 0 {
                break;
            }
            while self.buffer.len() < size + 2 {
                if !self.fill() {
                    return None;
                }
            }
            received.body.extend(self.buffer.drain(..size));
            if self.buffer.drain(..2).collect::<Vec<_>>() != b"\r\n" {
                received
                    .problems
                    .push("chunk does not end in CRLF".to_owned());
                return None;
            }
        }
        let mut trailers = Vec::new();
        loop {
            let line = self.read_until(b"\r\n")?;
            if line == b"\r\n" {
                break;
            }
            trailers.extend_from_slice(&line);
        }
        match parse_headers(&trailers) {
            Ok(trailers) => received.trailers = trailers,
            Err(problem) => received.problems.push(problem),
        }
        Some(())
    }

    /// Replaces the record of the head by that of the whole request.
    fn record(&self, received: &Received) {
        let mut state = self.shared.state.lock().unwrap();
        let place = state.received.iter_mut().rev().find(|known| {
            known.connection == received.connection && known.raw_head == received.raw_head
        });
        if let Some(place) = place {
            *place = received.clone();
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Records bytes that never became a head, so that a test sees them.
    fn record_fragment(&mut self) {
        let received = Received {
            raw_head: std::mem::take(&mut self.buffer),
            problems: vec!["the connection ended inside a head".to_owned()],
            connection: self.index,
            ..Received::default()
        };
        self.shared.state.lock().unwrap().received.push(received);
        self.shared.changed.notify_all();
    }

    fn fill(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return false,
                Ok(count) => {
                    self.buffer.extend_from_slice(&bytes[..count]);
                    return true;
                }
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A second handle is kept for the end of the upstream, so closing this one is not enough.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.index)
    }
}

fn parse_head(raw_head: Vec<u8>, connection: usize) -> Received {
    let mut received = Received {
        connection,
        ..Received::default()
    };
    let line_end = find(&raw_head, b"\r\n").unwrap_or(0);
    let line = String::from_utf8_lossy(&raw_head[..line_end]).into_owned();
    match line.split(' ').collect::<Vec<_>>().as_slice() {
        [method, target, "HTTP/1.1"] => {
            received.method = (*method).to_owned();
            received.target = (*target).to_owned();
        }
        _ => received.problems.push(format!("request line {line:?}")),
    }
    match parse_headers(&raw_head[line_end + 2..raw_head.len() - 2]) {
        Ok(headers) => received.headers = headers,
        Err(problem) => received.problems.push(problem),
    }
    let hosts = received.header_values("host").len();
    if hosts != 1 {
        received.problems.push(format!("{hosts} Host headers"));
    }
    received.raw_head = raw_head;
    received
}
