//! Where ids are found, and which settings are refused.

use http::{HeaderValue, Request};

use super::*;
use crate::definition::ExtractorConfig;

fn wanted(
    from: &str,
    with: &str,
    change: impl Fn(&mut ExtractorConfig),
) -> definition::IdExtractor {
    let mut extractor_config = ExtractorConfig {
        header_name: "X-Id".into(),
        param_name: "id".into(),
        regex_expression: "[a-z]+".into(),
        xpath_expression: "//id".into(),
        ..ExtractorConfig::default()
    };
    change(&mut extractor_config);
    definition::IdExtractor {
        extract_from: from.into(),
        extract_with: with.into(),
        extractor_config,
        ..definition::IdExtractor::default()
    }
}

fn post(content_type: &'static str) -> Parts {
    let mut head = Request::post("/api?id=query")
        .body(())
        .unwrap()
        .into_parts()
        .0;
    let value = HeaderValue::from_static(content_type);
    head.headers.insert(header::CONTENT_TYPE, value);
    head
}

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

#[test]
fn every_combination_finds_its_id() {
    let xml = "<a><id>abc</id></a>";
    for (from, with, header, body, expected) in [
        ("header", "value", "abc 1", "", Some("abc 1")),
        ("header", "regex", "12 abc def", "", Some("abc")),
        ("header", "xpath", xml, "", Some("abc")),
        ("form", "value", "", "id=abc", Some("abcquery")),
        ("form", "value", "", "", Some("query")),
        ("form", "regex", "", "id=12abc-", Some("abc")),
        ("form", "xpath", "", "id=%3Cid%3Eabc%3C%2Fid%3E", None),
        ("body", "regex", "", "12 abc def", Some("abc")),
        ("body", "xpath", "", xml, Some("abc")),
        ("header", "value", "", "", None),
        ("header", "regex", "123", "", None),
        ("header", "xpath", "<a/>", "", None),
        ("header", "xpath", "no xml", "", None),
        ("body", "regex", "", "", None),
        ("body", "xpath", "", "<id></id>", None),
    ] {
        let extractor = IdExtractor::new(&wanted(from, with, |_| {}));
        let extractor = extractor.unwrap().unwrap();
        let mut head = post(FORM);
        if !header.is_empty() {
            let value = HeaderValue::from_static(header);
            head.headers.insert("x-id", value);
        }
        let found = extractor.digest(extractor.head_text(&head), body.as_bytes());
        let expected = expected.map(|text| md5_hex(text.as_bytes()));
        assert_eq!(found, expected, "{from} {with} {header} {body}");
    }
}

#[test]
fn a_form_is_read_where_the_body_is_one() {
    let form = IdExtractor::new(&wanted("form", "value", |_| {}));
    let form = form.unwrap().unwrap();
    assert!(form.reads_body(&post(FORM)));
    assert!(!form.reads_body(&post("multipart/form-data; boundary=x")));
    assert!(!form.reads_body(&post("text/plain")));
    let mut get = post(FORM);
    get.method = Method::GET;
    assert!(!form.reads_body(&get));
}

#[test]
fn whole_matches_are_counted_from_zero() {
    for (index, expected) in [(0, Some("a1")), (1, Some("b2")), (2, None)] {
        let wanted = wanted("header", "regex", |settings| {
            settings.regex_expression = "([a-z])([0-9])".into();
            settings.regex_match_index = index;
        });
        let extractor = IdExtractor::new(&wanted).unwrap().unwrap();
        let found = extractor.digest(b"a1 b2", b"");
        assert_eq!(found, expected.map(|text| md5_hex(text.as_bytes())));
    }
}

#[test]
fn an_expression_that_other_engines_choke_on_takes_no_time() {
    let wanted = wanted("body", "regex", |settings| {
        settings.regex_expression = "^(a|aa)+$".into();
    });
    let extractor = IdExtractor::new(&wanted).unwrap().unwrap();
    let body = [&[b'a'; 100_000][..], b"!"].concat();
    assert_eq!(extractor.digest(b"", &body), None);
}

/// Source, method, and what is said of them.
const UNKNOWN: &[(&str, &str, &str)] = &[
    (
        "querystring",
        "value",
        "extract_from: `querystring` is not one of",
    ),
    ("", "value", "extract_from: `` is not one of"),
    ("header", "", "extract_with: `` is not one of"),
    ("header", "magic", "extract_with: `magic` is not one of"),
    ("body", "value", "extract_with: a whole body is no id"),
];

/// Source, method, a setting and its value, and what is said of it.
const UNUSABLE: &[(&str, &str, &str, &str, &str)] = &[
    ("header", "value", "header_name", "", "is missing"),
    (
        "header",
        "value",
        "header_name",
        "a b",
        "`a b` is no header",
    ),
    ("form", "value", "param_name", "", "is missing"),
    ("body", "regex", "regex_expression", "", "is missing"),
    (
        "body",
        "regex",
        "regex_expression",
        "(a",
        "`(a`: unclosed group",
    ),
    (
        "body",
        "regex",
        "regex_expression",
        "(?=a)",
        "`(?=a)`: look-around",
    ),
    (
        "body",
        "regex",
        "regex_expression",
        "(a{1000}){1000}",
        "`(a",
    ),
    ("body", "xpath", "xpath_expression", "", "is missing"),
    (
        "body",
        "xpath",
        "xpath_expression",
        "count(//a)",
        "`count(//a)`: `(` at 6",
    ),
];

#[test]
fn settings_that_cannot_work_are_refused_with_their_key() {
    let check = |wanted: definition::IdExtractor, expected: String| {
        let error = IdExtractor::new(&wanted).unwrap_err().to_string();
        let expected = format!("custom_middleware.id_extractor.{expected}");
        assert!(error.starts_with(&expected), "{error}");
    };
    for (from, with, expected) in UNKNOWN {
        check(wanted(from, with, |_| {}), (*expected).to_owned());
    }
    for (from, with, key, value, expected) in UNUSABLE {
        let changed = wanted(from, with, |settings| {
            let slot = match *key {
                "header_name" => &mut settings.header_name,
                "param_name" => &mut settings.param_name,
                "regex_expression" => &mut settings.regex_expression,
                _ => &mut settings.xpath_expression,
            };
            *slot = (*value).to_owned();
        });
        check(changed, format!("extractor_config.{key}: {expected}"));
    }
    let below = wanted("body", "regex", |settings| settings.regex_match_index = -1);
    check(
        below,
        "extractor_config.regex_match_index: -1 is below 0".into(),
    );
}

#[test]
fn an_extractor_that_is_off_or_empty_is_none() {
    let mut off = wanted("header", "magic", |_| {});
    off.disabled = true;
    assert!(IdExtractor::new(&off).unwrap().is_none());
    let empty = definition::IdExtractor::default();
    assert!(IdExtractor::new(&empty).unwrap().is_none());
}
