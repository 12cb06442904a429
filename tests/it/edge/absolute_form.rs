//! RFC 9112, section 3.2.2: a target in absolute form is where the host comes from.

use super::{Case, check, passes, refused};

fn absolute(target: &str, host: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[test]
fn the_target_wins_over_the_host_field() {
    let mut cases = Vec::new();
    for (target, path, host) in [
        ("http://a.example/x", "/x", "a.example"),
        ("http://a.example:8080/x?y=z", "/x?y=z", "a.example:8080"),
        ("http://a.example", "/", "a.example"),
        ("http://a.example?y=z", "/?y=z", "a.example"),
        ("HTTP://a.example/x", "/x", "a.example"),
        ("http://[::1]:80/x", "/x", "[::1]:80"),
    ] {
        let line = format!("GET {path} HTTP/1.1\r\n");
        let field = format!("host: {host}\r\n");
        let outcome = || passes(&[&line, &field], &["b.example", "http://", "HTTP://"]);
        cases.extend([
            Case::new(
                &format!("{target}, same host"),
                absolute(target, host),
                outcome(),
            ),
            Case::new(
                &format!("{target}, other host"),
                absolute(target, "b.example"),
                outcome(),
            ),
        ]);
    }
    check(&cases);
}

#[test]
fn paths_in_absolute_form_are_held_to_the_same_rules() {
    let mut cases = Vec::new();
    for target in [
        "http://a.example/../b",
        "http://a.example/%2e%2e/b",
        "http://a.example/a%2fb",
    ] {
        cases.extend([Case::new(
            target,
            absolute(target, "a.example"),
            refused(&[400]),
        )]);
    }
    check(&cases);
}

#[test]
fn a_malformed_host_field_is_refused_beside_an_absolute_target() {
    let mut cases = Vec::new();
    for host in ["a b", "a@b", "", "a:bad"] {
        cases.extend([Case::new(
            host,
            absolute("http://a.example/", host),
            refused(&[400]),
        )]);
    }
    check(&cases);
}
