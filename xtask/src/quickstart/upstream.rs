//! The upstream of the quickstart: answers each request with what it saw of it, as JSON.

use std::io::{self, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use serde_json::{Map, Value, json};

use super::http::Message;

/// Starts it on a free port. It ends with the process.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A connection that breaks is the gateway's to report.
            thread::spawn(move || serve(&stream));
        }
    });
    Ok(address)
}

fn serve(stream: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = Message::read(&mut reader)? {
        answer(&request).write(&mut &*stream)?;
    }
    Ok(())
}

fn answer(request: &Message) -> Message {
    let mut words = request.start.split(' ');
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Map::new();
    for (name, value) in &request.headers {
        let text = match headers.get(name) {
            Some(Value::String(before)) => format!("{before}, {value}"),
            _ => value.clone(),
        };
        headers.insert(name.clone(), text.into());
    }
    let params: Map<String, Value> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    let seen = json!({
        "method": method,
        "path": path,
        "params": params,
        "headers": headers,
        "body": request.text(),
    });
    let fields = [
        ("content-type", "application/json"),
        ("x-upstream-secret", "for the gateway only"),
        // Twice, because a field that comes twice is what proxies like to lose.
        ("set-cookie", "flavour=oat"),
        ("set-cookie", "size=large"),
    ];
    Message {
        start: "HTTP/1.1 200 OK".to_owned(),
        headers: fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        body: seen.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quickstart::http::call;

    #[test]
    fn answers_with_what_it_saw() {
        let address = start().unwrap();
        let request = Message {
            start: "PUT /a/b?x=1&y HTTP/1.1".into(),
            headers: vec![("x-one".into(), "1".into()), ("X-One".into(), "2".into())],
            body: b"hello".to_vec(),
        };
        let answer = call(address, &request).unwrap();
        let seen: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(seen["method"], "PUT");
        assert_eq!(seen["path"], "/a/b");
        assert_eq!(seen["params"], json!({"x": "1", "y": ""}));
        assert_eq!(seen["headers"]["x-one"], "1, 2");
        assert_eq!(seen["body"], "hello");
        assert_eq!(answer.values("set-cookie").count(), 2);
    }
}
