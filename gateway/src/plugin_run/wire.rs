//! A request as an HTTP/1 message in a file.

use bytes::Bytes;

use super::input::{Input, Values};

/// Most header lines of a message.
const MOST_HEADERS: usize = 256;

/// Reads a message: request line, header lines, an empty line, the body. Lines may end
/// without a carriage return, and the empty line may be missing where there is no body.
pub(super) fn read(message: &[u8]) -> Result<Input, String> {
    let mut complete = message.to_vec();
    if !ends_head(message) {
        let end: &[u8] = match message.last() {
            Some(b'\n') => b"\n",
            _ => b"\n\n",
        };
        complete.extend_from_slice(end);
    }
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(&complete) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Err("is not a whole HTTP message".into()),
        Err(error) => {
            return Err(format!(
                "is neither JSON nor an HTTP message (`GET /path HTTP/1.1`): {error}"
            ));
        }
    };
    let mut input = Input::default();
    input.method = request.method.unwrap_or_default().to_owned();
    input.url = request.path.unwrap_or_default().to_owned();
    input.raw_body = Bytes::copy_from_slice(complete.get(length..).unwrap_or_default());
    for header in request.headers.iter() {
        let value = std::str::from_utf8(header.value)
            .map_err(|_| format!("header {}: value is not UTF-8", header.name))?;
        let values = input.headers.entry(header.name.to_owned());
        match values.or_insert_with(|| Values::Several(Vec::new())) {
            Values::Several(values) => values.push(value.to_owned()),
            Values::One(_) => unreachable!("only lists are put in here"),
        }
    }
    Ok(input)
}

/// Whether there is an empty line.
fn ends_head(message: &[u8]) -> bool {
    let mut lines = message.split(|byte| *byte == b'\n');
    // What follows the last line end is not a line.
    lines.next_back();
    lines.any(|line| line.is_empty() || line == b"\r")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, expected: (&str, &str, &[u8])) -> Input {
        let input = read(message.as_bytes()).unwrap();
        let found = (&*input.method, &*input.url, &*input.raw_body);
        assert_eq!(found, expected, "{message:?}");
        input
    }

    #[test]
    fn messages_are_read_with_either_line_end() {
        check("GET /a HTTP/1.1\r\n\r\n", ("GET", "/a", b""));
        check("GET /a HTTP/1.1", ("GET", "/a", b""));
        check("GET /a HTTP/1.1\nHost: x\n", ("GET", "/a", b""));
        let input = check(
            "POST /a?b=c HTTP/1.1\nX-A: 1\nX-A: 2\n\n{\"a\":\n\n1}",
            ("POST", "/a?b=c", b"{\"a\":\n\n1}"),
        );
        assert_eq!(input.headers["X-A"].all(), ["1", "2"]);
    }

    #[test]
    fn what_is_no_message_is_said_so() {
        for text in ["", "hello", "GET /a", "GET /a HTTP/9\n\n"] {
            let problem = read(text.as_bytes()).unwrap_err();
            assert!(problem.starts_with("is n"), "{problem}");
        }
    }
}
