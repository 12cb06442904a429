//! As much HTTP/1.1 as a quickstart needs: whole messages, read from and written to a stream.

use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long the gateway or the upstream may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request or a response: its first line, its header fields, its body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) start: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The first value of a header; `name` is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All values of a header; `name` is in lower case.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }

    /// The status code of a response; 0 when the first line has none.
    pub(crate) fn status(&self) -> u16 {
        let code = self.start.split(' ').nth(1);
        code.and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Sends the message; the body's length goes with it.
    pub(crate) fn write(&self, stream: &mut impl Write) -> io::Result<()> {
        let mut head = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        stream.write_all(head.as_bytes())?;
        stream.write_all(&self.body)?;
        stream.flush()
    }

    /// Reads the next message; `None` when the other side has closed the connection.
    pub(crate) fn read(stream: &mut impl BufRead) -> io::Result<Option<Self>> {
        let start = line(stream)?;
        if start.is_empty() {
            return Ok(None);
        }
        let mut message = Self {
            start,
            ..Self::default()
        };
        loop {
            let field = line(stream)?;
            if field.is_empty() {
                break;
            }
            let (name, value) = field
                .split_once(':')
                .ok_or_else(|| malformed(&format!("header `{field}`")))?;
            message
                .headers
                .push((name.to_lowercase(), value.trim().to_owned()));
        }
        message.body = message.read_body(stream)?;
        Ok(Some(message))
    }

    fn read_body(&self, stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if self.header("transfer-encoding") == Some("chunked") {
            while let size @ 1.. = chunk_size(&line(stream)?)? {
                stream.take(size).read_to_end(&mut body)?;
                line(stream)?;
            }
            while !line(stream)?.is_empty() {}
        } else if let Some(length) = self.header("content-length") {
            let length = length.parse().map_err(|_| malformed("content-length"))?;
            stream.take(length).read_to_end(&mut body)?;
            if (body.len() as u64) < length {
                return Err(malformed("body: it ends early"));
            }
        } else if self.start.starts_with("HTTP/") {
            stream.read_to_end(&mut body)?;
        }
        Ok(body)
    }
}

/// Sends one request over a connection of its own and reads the answer.
pub(crate) fn call(address: SocketAddr, request: &Message) -> io::Result<Message> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    request.write(&mut stream)?;
    Message::read(&mut BufReader::new(stream))?
        .ok_or_else(|| malformed("answer: the connection was closed without one"))
}

fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(line)
}

fn chunk_size(line: &str) -> io::Result<u64> {
    let digits = line.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).map_err(|_| malformed(&format!("chunk size `{line}`")))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> io::Result<Option<Message>> {
        Message::read(&mut text.as_bytes())
    }

    #[test]
    fn message_survives_the_wire() {
        let message = Message {
            start: "POST /x HTTP/1.1".into(),
            headers: vec![("host".into(), "a".into()), ("x".into(), "1".into())],
            body: b"two\r\nlines".to_vec(),
        };
        let mut wire = Vec::new();
        message.write(&mut wire).unwrap();
        let back = Message::read(&mut wire.as_slice()).unwrap().unwrap();
        assert_eq!(back.body, message.body);
        assert_eq!(back.header("x"), Some("1"));
        assert_eq!(back.header("content-length"), Some("10"));
    }

    #[test]
    fn body_may_come_in_chunks_or_until_the_end() {
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        assert_eq!(read(chunks).unwrap().unwrap().text(), "abcd");
        let until_end = read("HTTP/1.1 418 Teapot\r\n\r\nrest").unwrap().unwrap();
        assert_eq!(until_end.text(), "rest");
        assert_eq!(until_end.status(), 418);
        assert_eq!(read("").unwrap(), None);
    }

    #[test]
    fn malformed_message_is_an_error() {
        for text in [
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
