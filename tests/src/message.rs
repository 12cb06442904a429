//! HTTP/1 messages as the suite writes and reads them: bytes first, nothing normalised.

use std::fmt;

/// A request to send: bytes in the making.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// `GET target`
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// `POST target` with a body of known length.
    #[must_use]
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// Adds one header line. A second one of the same name is a second line.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Gives the request a body and the `Content-Length` that belongs to it.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The bytes of the request. `Host: gateway.test` is added unless a header sets it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if !self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            bytes.extend_from_slice(b"Host: gateway.test\r\n");
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if let Some(body) = &self.body {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }
}

/// A response as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// `1.0` or `1.1`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// The header lines in order, names as received.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The trailer fields of a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// The only value of a header. Panics when there is more than one.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.header_values(name);
        assert!(values.len() < 2, "`{name}` is repeated in {self:?}");
        values.first().copied()
    }

    /// All values of a header, in order.
    #[must_use]
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        values(&self.headers, name)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON. Panics when it is not.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("body is not JSON ({error}): {self:?}"),
        }
    }

    /// Fails the test unless this is an error of the gateway in its documented form.
    #[track_caller]
    pub fn assert_error(&self, status: u16, message: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.text(), error_body(message), "{self:?}");
        assert_eq!(
            self.header("Content-Type"),
            Some("application/json"),
            "{self:?}"
        );
        assert_eq!(self.header("X-Generator"), Some("tyk.io"), "{self:?}");
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "HTTP/{} {} {:?}",
            self.version, self.status, self.headers
        )?;
        let shown = &self.body[..self.body.len().min(400)];
        write!(
            f,
            " body of {}: {:?}",
            self.body.len(),
            shown.escape_ascii().to_string()
        )?;
        write!(f, " trailers {:?}", self.trailers)
    }
}

/// The body of every error that the gateway answers itself.
#[must_use]
pub fn error_body(message: &str) -> String {
    format!("{{\n    \"error\": \"{message}\"\n}}")
}

/// All values of a header among `headers`, in order.
pub(crate) fn values<'a>(headers: &'a [(String, String)], name: &str) -> Vec<&'a str> {
    headers
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect()
}

/// Splits header lines by the letter of RFC 9112. What is not by the letter is an error.
pub(crate) fn parse_headers(block: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut headers = Vec::new();
    for line in split_crlf(block)? {
        let colon = line
            .iter()
            .position(|&byte| byte == b':')
            .ok_or_else(|| format!("no colon in {:?}", line.escape_ascii().to_string()))?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
            return Err(format!(
                "header name {:?} is not a token",
                name.escape_ascii().to_string()
            ));
        }
        if value
            .iter()
            .any(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f)
        {
            return Err(format!(
                "control byte in {:?}",
                line.escape_ascii().to_string()
            ));
        }
        headers.push((
            String::from_utf8_lossy(name).into_owned(),
            String::from_utf8_lossy(value.trim_ascii()).into_owned(),
        ));
    }
    Ok(headers)
}

fn split_crlf(block: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut lines = Vec::new();
    let mut rest = block;
    while !rest.is_empty() {
        let end = find(rest, b"\r\n").ok_or("header block does not end in CRLF")?;
        let line = &rest[..end];
        if line.contains(&b'\r') || line.contains(&b'\n') {
            return Err(format!(
                "bare CR or LF in {:?}",
                line.escape_ascii().to_string()
            ));
        }
        lines.push(line);
        rest = &rest[end + 2..];
    }
    Ok(lines)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Where `needle` starts in `haystack`.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// How a message's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

/// Reads the framing headers by the letter; anything that two readers could understand
/// differently is an error.
pub(crate) fn framing(headers: &[(String, String)], otherwise: Framing) -> Result<Framing, String> {
    let codings = values(headers, "transfer-encoding");
    let lengths = values(headers, "content-length");
    match (codings.as_slice(), lengths.as_slice()) {
        ([], []) => Ok(otherwise),
        ([], [length]) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            length
                .parse()
                .map(Framing::Length)
                .map_err(|error| format!("Content-Length {length}: {error}"))
        }
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        _ => Err(format!(
            "ambiguous framing: Transfer-Encoding {codings:?}, Content-Length {lengths:?}"
        )),
    }
}
