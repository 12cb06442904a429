//! RFC 3986 and RFC 9112, section 3.2: targets that two servers would read differently.

use super::{Case, check, get, passes, refused, refused_or_passes};

fn cases(targets: &[&[u8]], outcome: impl Fn(&str) -> super::Outcome) -> Vec<Case> {
    targets
        .iter()
        .map(|target| {
            let shown = String::from_utf8_lossy(target).into_owned();
            let outcome = outcome(&shown);
            Case::new(&shown, get(target), outcome)
        })
        .collect()
}

#[test]
fn dot_segments_are_refused_in_every_spelling() {
    check(&cases(
        &[
            b"/a/../b",
            b"/a/..",
            b"/..",
            b"/../",
            b"/../../etc/passwd",
            b"/./",
            b"/a/./b",
            b"/a/.",
            b"/%2e%2e/b",
            b"/a/%2e%2e/b",
            b"/a/%2E%2E",
            b"/a/.%2e/b",
            b"/a/%2e./b",
            b"/a/%2E/b",
            b"/a/%2e",
            b"/a/..?x=1",
            b"/a/%2e%2e?x=1",
            b"/a/..;x/b",
            b"/..;/b",
            b"/a/%2e%2e;x/b",
        ],
        |_| refused(&[400]),
    ));
}

#[test]
fn encoded_separators_and_nul_are_refused() {
    check(&cases(
        &[
            b"/a%2fb",
            b"/a%2Fb",
            b"/a%5cb",
            b"/a%5Cb",
            b"/a%00b",
            b"/%2f",
            b"/%00",
            b"/a%2f..%2fb",
            b"/..%2fb",
            b"/..%5cb",
        ],
        |_| refused(&[400]),
    ));
}

#[test]
fn bytes_that_no_target_has_are_refused() {
    check(&cases(
        &[
            b"/a\x00b",
            b"/a\x01b",
            b"/a\x1fb",
            b"/a\x7fb",
            b"/a\x80b",
            b"/a\xffb",
            b"/a\xc3\xa4",
            b"/a\\b",
            b"/a?\x00",
            b"/a?\xff",
            b"/a?\x7f",
        ],
        |_| refused(&[400]),
    ));
}

#[test]
fn targets_that_are_no_target_are_refused() {
    check(&cases(
        &[
            b"a",
            b"*",
            b"a/b",
            b"?x=1",
            b"a.example",
            b"a.example:80",
            b"http:",
            b"http://",
            b"http:///a",
            b"http://?x",
            b"http://:80/",
            b"ftp://a.example/",
            b"javascript:x",
            b"http://user@a.example/",
            b"http://user:pw@a.example/",
            b"http://a.example:bad/",
            b"http://a b/",
            b"http://a.example\\@b/",
            b"https:a.example/",
        ],
        |_| refused(&[400, 404]),
    ));
}

#[test]
fn a_percent_sign_without_its_two_digits_is_not_read_anew() {
    // RFC 3986 knows no such target; a gateway that passes it on must not touch it.
    check(&cases(
        &[b"/%", b"/%2", b"/%zz", b"/a%", b"/%%32%65"],
        |shown| refused_or_passes(&[&format!("GET {shown} HTTP/1.1\r\n")], &[]),
    ));
}

#[test]
fn other_targets_pass_to_the_byte() {
    check(&cases(
        &[
            b"/",
            b"/a",
            b"/a/",
            b"/a/...",
            b"/a/..b",
            b"/a/b..",
            b"/a/.b",
            b"/a/b.",
            b"/a;p=1/b",
            b"/a/;p",
            b"/%41",
            b"/%7e~",
            b"/%20",
            b"/%25",
            b"/%252e%252e/",
            b"/a:b@c",
            b"/a,b=c",
            b"/!$&'()*+,;=",
            b"/a?",
            b"/a?x",
            b"/a?x=1&x=2",
            b"/a?x=/../y",
            b"/a?x=%2f%2e%2e%00",
            b"/a?x=a/b?c",
            b"/a?x;y",
            b"/a?%zz",
            b"/%E2%82%AC",
        ],
        |shown| passes(&[&format!("GET {shown} HTTP/1.1\r\n")], &[]),
    ));
}

#[test]
fn doubled_slashes_are_read_once() {
    check(&cases(&[b"/a//b", b"//a/b", b"/a//", b"///"], |shown| {
        refused_or_passes(&[&format!("GET {shown} HTTP/1.1\r\n")], &[])
    }));
}

#[test]
fn fragments_never_reach_an_upstream() {
    check(&cases(
        &[b"/a#frag", b"/#", b"/a?x#frag", b"/a#/../b"],
        |_| refused_or_passes(&[], &["#", "frag"]),
    ));
}

#[test]
fn delimiters_that_no_path_has_are_refused_or_left_alone() {
    check(&cases(
        &[
            b"/a\"b", b"/a<b>", b"/a^b", b"/a`b", b"/a{b}", b"/a|b", b"/a?[b]",
        ],
        |shown| refused_or_passes(&[&format!("GET {shown} HTTP/1.1\r\n")], &[]),
    ));
}
