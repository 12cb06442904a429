//! A client on a raw socket: sends exactly the bytes it is given, reads responses by the letter
//! and tells a clean end from a reset.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::message::{Framing, Request, Response, find, framing, parse_headers};
use crate::wait::DEADLINE;

/// One connection to a gateway.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Why there is no complete response.
#[derive(Debug)]
pub enum Failure {
    /// The peer closed in an orderly way before the first byte.
    Closed,
    /// The peer reset the connection before the head was complete.
    Reset,
    /// The connection ended in the middle of a message; what came so far.
    Truncated(Response),
    /// Nothing more came within the deadline; the bytes that were not understood yet.
    TimedOut(Vec<u8>),
    /// The peer sent something that is not HTTP.
    Malformed(String),
}

impl Client {
    /// Connects.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, DEADLINE)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Lets reads fail after `limit` instead of the usual deadline.
    pub fn read_limit(&mut self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).unwrap();
    }

    /// Sends bytes as they are. A peer that has gone is no error: what it sent before is read
    /// next, and tells more.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.try_send(bytes);
        self
    }

    /// Sends bytes as they are and tells whether the peer still took them.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Says that no more bytes will follow, and keeps reading.
    pub fn half_close(&mut self) -> &mut Self {
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Sends a request and returns its final response. Panics when there is none.
    #[track_caller]
    pub fn request(&mut self, request: &Request) -> Response {
        match self.try_request(request) {
            Ok(response) => response,
            Err(failure) => panic!("no response to {request:?}: {failure:?}"),
        }
    }

    /// Sends a request and returns its final response, or why there is none.
    pub fn try_request(&mut self, request: &Request) -> Result<Response, Failure> {
        self.send(request.bytes());
        self.read_final(request.method())
    }

    /// The next final response; interim ones are passed over.
    pub fn read_final(&mut self, method: &str) -> Result<Response, Failure> {
        loop {
            let response = self.read_response(method)?;
            if response.status >= 200 || response.status == 101 {
                return Ok(response);
            }
        }
    }

    /// The next response, interim ones included. `method` is that of its request.
    pub fn read_response(&mut self, method: &str) -> Result<Response, Failure> {
        let mut response = self.read_head()?;
        let bodyless = method == "HEAD"
            || response.status < 200
            || response.status == 204
            || response.status == 304;
        let framing = match framing(&response.headers, Framing::UntilClose) {
            _ if bodyless => Framing::None,
            Ok(framing) => framing,
            Err(problem) => return Err(Failure::Malformed(problem)),
        };
        match framing {
            Framing::None => {}
            Framing::Length(length) => {
                while self.buffer.len() < length {
                    if let Err(failure) = self.fill() {
                        response.body.append(&mut self.buffer);
                        return Err(truncated(failure, response));
                    }
                }
                response.body = self.buffer.drain(..length).collect();
            }
            Framing::Chunked => self.read_chunks(&mut response)?,
            Framing::UntilClose => self.read_rest(&mut response)?,
        }
        Ok(response)
    }

    /// The head of the next response, for tests that look at the body as it arrives.
    pub fn read_head(&mut self) -> Result<Response, Failure> {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            self.fill()?;
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let line = find(&head, b"\r\n").unwrap_or(0);
        let (version, status) = parse_status_line(&head[..line])?;
        let headers = parse_headers(&head[line + 2..head.len() - 2]).map_err(Failure::Malformed)?;
        Ok(Response {
            version,
            status,
            headers,
            body: Vec::new(),
            trailers: Vec::new(),
        })
    }

    /// Bytes as they arrive, at least one.
    pub fn read_some(&mut self) -> Result<Vec<u8>, Failure> {
        if self.buffer.is_empty() {
            self.fill()?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Reads until exactly `count` bytes have come.
    pub fn read_exactly(&mut self, count: usize) -> Result<Vec<u8>, Failure> {
        while self.buffer.len() < count {
            self.fill()?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Reads until `needle` has come, and returns everything up to its end.
    pub fn read_until(&mut self, needle: &[u8]) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some(start) = find(&self.buffer, needle) {
                return Ok(self.buffer.drain(..start + needle.len()).collect());
            }
            self.fill()?;
        }
    }

    /// Whether the peer ends the connection without another byte, by close or by reset.
    pub fn ends(&mut self) -> bool {
        self.buffer.is_empty() && matches!(self.fill(), Err(Failure::Closed | Failure::Reset))
    }

    /// Whether nothing arrives for `period`: no byte, no end.
    pub fn is_quiet_for(&mut self, period: Duration) -> bool {
        self.read_limit(period);
        let quiet = self.buffer.is_empty() && matches!(self.fill(), Err(Failure::TimedOut(_)));
        self.read_limit(DEADLINE);
        quiet
    }

    fn read_chunks(&mut self, response: &mut Response) -> Result<(), Failure> {
        loop {
            let line = self.body_line(response)?;
            let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(digits)
                .ok()
                .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit()))
                .and_then(|text| usize::from_str_radix(text, 16).ok())
                .ok_or_else(|| {
                    Failure::Malformed(format!("chunk size {:?}", line.escape_ascii().to_string()))
                })?;
            if size == 0 {
                break;
            }
            while self.buffer.len() < size + 2 {
                if let Err(failure) = self.fill() {
                    return Err(truncated(failure, response.clone()));
                }
            }
            response.body.extend(self.buffer.drain(..size));
            if self.buffer.drain(..2).collect::<Vec<_>>() != b"\r\n" {
                return Err(Failure::Malformed("chunk does not end in CRLF".to_owned()));
            }
        }
        let mut trailers = Vec::new();
        loop {
            let line = self.body_line(response)?;
            if line.is_empty() {
                break;
            }
            trailers.extend_from_slice(&line);
            trailers.extend_from_slice(b"\r\n");
        }
        response.trailers = parse_headers(&trailers).map_err(Failure::Malformed)?;
        Ok(())
    }

    fn body_line(&mut self, response: &Response) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let mut line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                line.truncate(end);
                return Ok(line);
            }
            if let Err(failure) = self.fill() {
                return Err(truncated(failure, response.clone()));
            }
        }
    }

    fn read_rest(&mut self, response: &mut Response) -> Result<(), Failure> {
        loop {
            response.body.append(&mut self.buffer);
            match self.fill() {
                Ok(()) => {}
                // A body that ends with the connection is complete at an orderly end only.
                Err(Failure::Closed) => return Ok(()),
                Err(failure) => return Err(truncated(failure, response.clone())),
            }
        }
    }

    fn fill(&mut self) -> Result<(), Failure> {
        let mut bytes = [0; 16 * 1024];
        loop {
            return match self.stream.read(&mut bytes) {
                Ok(0) if self.buffer.is_empty() => Err(Failure::Closed),
                Ok(0) => Err(Failure::Malformed(format!(
                    "closed after {:?}",
                    self.buffer.escape_ascii().to_string()
                ))),
                Ok(count) => {
                    self.buffer.extend_from_slice(&bytes[..count]);
                    Ok(())
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    Err(Failure::TimedOut(self.buffer.clone()))
                }
                Err(_) => Err(Failure::Reset),
            };
        }
    }
}

fn truncated(failure: Failure, response: Response) -> Failure {
    match failure {
        Failure::TimedOut(bytes) => Failure::TimedOut(bytes),
        _ => Failure::Truncated(response),
    }
}

fn parse_status_line(line: &[u8]) -> Result<(String, u16), Failure> {
    let text = String::from_utf8_lossy(line).into_owned();
    let parse = || {
        let rest = text.strip_prefix("HTTP/")?;
        let (version, rest) = rest.split_once(' ')?;
        let (code, _reason) = rest.split_once(' ')?;
        (matches!(version, "1.0" | "1.1") && code.len() == 3)
            .then(|| Some((version.to_owned(), code.parse().ok()?)))?
    };
    parse().ok_or_else(|| Failure::Malformed(format!("status line {text:?}")))
}
