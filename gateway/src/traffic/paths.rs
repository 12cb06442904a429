//! Patterns of paths, and the ways in which a path can be read.
//!
//! A pattern is matched with what the upstream will see below the listen path, decoded. Some
//! servers take `//` for `/` and leave out what follows a `;`. What keeps callers out matches
//! if any of these readings does; what lets them in, only if all do.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;
use regex::{RegexSet, RegexSetBuilder};

use crate::config::Config;
use crate::exchange::Exchange;

/// Longest compiled form of one list of patterns.
const SIZE_LIMIT: usize = 32 << 20;

/// How patterns are meant, by configuration and purpose.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meaning {
    /// A pattern that begins with `/` stands at the beginning of a path.
    pub at_start: bool,
    /// So does one that begins with a name.
    pub opens: bool,
    /// A pattern reaches to the end of a path.
    pub at_end: bool,
    /// Upper and lower case are the same in all patterns.
    pub ignore_case: bool,
}

/// One pattern and what it is for.
pub struct Rule<'a, T> {
    /// The pattern, as it is written.
    pub path: &'a str,
    /// The method; empty is all.
    pub method: &'a str,
    /// Upper and lower case are the same.
    pub ignore_case: bool,
    /// What it is for.
    pub value: T,
}

/// A list of patterns, compiled into one.
#[derive(Debug)]
pub struct Rules<T> {
    set: RegexSet,
    values: Vec<(Option<Method>, T)>,
}

/// A path in all its readings.
#[derive(Debug)]
pub struct Readings<'a> {
    first: Cow<'a, str>,
    /// Mostly none.
    others: Vec<String>,
}

impl Meaning {
    /// What the configuration says.
    pub fn new(config: &Config) -> Self {
        let options = &config.http_server_options;
        Self {
            at_start: options.enable_path_prefix_matching,
            opens: false,
            at_end: options.enable_path_suffix_matching,
            ignore_case: config.ignore_endpoint_case,
        }
    }

    /// The same for patterns that open something: these stand at the beginning of a path in
    /// any case, so that a pattern opens no path that has it somewhere in its middle.
    #[must_use]
    pub fn opening(self) -> Self {
        Self {
            at_start: true,
            opens: true,
            ..self
        }
    }

    /// What is wrong with a pattern, with its key.
    pub fn check(self, path: &str) -> Result<(), String> {
        if path.trim().is_empty() {
            return Err("path: is empty".into());
        }
        let expression = self.expression(path, false);
        let compiled = expression.and_then(|expression| {
            regex::Regex::new(&expression).map_err(|error| error.to_string())
        });
        compiled
            .map(drop)
            .map_err(|problem| format!("path: `{path}`: {problem}"))
    }

    /// The regular expression for a pattern.
    pub fn expression(self, path: &str, ignore_case: bool) -> Result<String, String> {
        let mut expression = without_names(path.trim())?;
        expression = expression.replace("/*/", "/[^/]+/");
        expression = expression.replace("/*", "/.*");
        let named = |first: char| first.is_alphanumeric() || matches!(first, '_' | '-' | '~' | '%');
        if self.at_start && expression.starts_with('/') {
            expression = format!("^(?:{expression})");
        } else if self.opens && expression.starts_with(named) {
            expression = format!("^/?(?:{expression})");
        }
        if self.at_end && !expression.ends_with('$') {
            expression = format!("(?:{expression})$");
        }
        let flags = if ignore_case || self.ignore_case {
            "(?i)"
        } else {
            ""
        };
        Ok(format!("{flags}(?:{expression})"))
    }
}

/// `/a/{name}` and `/a/{id:[0-9]+}` as regular expressions. Braces that follow what can be
/// repeated are left alone: they say how often.
fn without_names(path: &str) -> Result<String, String> {
    let mut expression = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(start) = rest.find('{') {
        expression.push_str(&rest[..start]);
        let end = closing_brace(&rest[start..]).ok_or("a `}` is missing")?;
        let inside = &rest[start + 1..start + end];
        if inside.starts_with(|first: char| first.is_ascii_digit() || first == ',') {
            expression.push_str(&rest[start..=start + end]);
        } else {
            let inner = inside.split_once(':').map_or("[^/]+", |(_, inner)| inner);
            expression.push_str(&format!("({inner})"));
        }
        rest = &rest[start + end + 1..];
    }
    expression.push_str(rest);
    Ok(expression)
}

fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0;
    text.char_indices().find_map(|(place, letter)| {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(place)
    })
}

/// A method as a definition writes it; empty is all.
pub fn method(text: &str) -> Result<Option<Method>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let method = Method::from_bytes(text.to_ascii_uppercase().as_bytes());
    method
        .map(Some)
        .map_err(|_| format!("method: `{text}` is no method"))
}

// === impl Rules ===

impl<T> Rules<T> {
    /// Compiles a list, if it has entries. The error names the entry by its place in `rules`.
    pub fn compile<'a>(
        rules: impl IntoIterator<Item = Rule<'a, T>>,
        meaning: Meaning,
    ) -> Result<Option<Self>, String> {
        let (mut expressions, mut values) = (Vec::new(), Vec::new());
        for (place, rule) in rules.into_iter().enumerate() {
            let wrong = |problem: String| format!("[{place}].{problem}");
            if rule.path.trim().is_empty() {
                return Err(wrong("path: is empty".into()));
            }
            let expression = meaning
                .expression(rule.path, rule.ignore_case)
                .and_then(|expression| match regex::Regex::new(&expression) {
                    Ok(_) => Ok(expression),
                    Err(error) => Err(error.to_string()),
                })
                .map_err(|problem| wrong(format!("path: `{}`: {problem}", rule.path)))?;
            expressions.push(expression);
            values.push((method(rule.method).map_err(wrong)?, rule.value));
        }
        if values.is_empty() {
            return Ok(None);
        }
        let set = RegexSetBuilder::new(&expressions)
            .size_limit(SIZE_LIMIT)
            .build()
            .map_err(|error| format!(": the patterns together: {error}"))?;
        Ok(Some(Self { set, values }))
    }

    /// The first rule that matches some reading of the path. Methods count in any case: a
    /// server may take `get` for `GET`.
    pub fn any(&self, path: &Readings<'_>, method: &Method) -> Option<&T> {
        let readings = path.all();
        let found = readings.filter_map(|reading| self.first(reading, |of| same(of, method)));
        found.min().map(|place| &self.values[place].1)
    }

    /// The first rule that matches, if every reading of the path has one that does.
    pub fn every(&self, path: &Readings<'_>, method: &Method) -> Option<&T> {
        let mut found = None;
        for reading in path.all() {
            let place = self.first(reading, |of| of == method)?;
            found = Some(found.map_or(place, |known: usize| known.min(place)));
        }
        found.map(|place| &self.values[place].1)
    }

    fn first(&self, path: &str, is_method: impl Fn(&Method) -> bool) -> Option<usize> {
        let matched = self.set.matches(path);
        matched
            .iter()
            .find(|&place| self.values[place].0.as_ref().is_none_or(&is_method))
    }
}

fn same(one: &Method, other: &Method) -> bool {
    one.as_str().eq_ignore_ascii_case(other.as_str())
}

// === impl Readings ===

impl<'a> Readings<'a> {
    /// The readings of a path.
    pub fn new(path: &'a str) -> Self {
        let first = percent_decode_str(path).decode_utf8_lossy();
        let mut others = Vec::new();
        let bare = first.contains(';').then(|| without_parameters(&first));
        let both = [Some(&*first), bare.as_deref()];
        for reading in both.into_iter().flatten() {
            if reading.contains("//") {
                others.push(with_single_slashes(reading));
            }
        }
        others.extend(bare);
        Self { first, others }
    }

    /// What the upstream sees below the listen path of the exchange's API, and below the
    /// version that may stand there.
    pub fn below(exchange: &'a Exchange) -> Self {
        Self::new(exchange.path_below())
    }

    /// The readings of the whole path.
    pub fn whole(exchange: &'a Exchange) -> Self {
        Self::new(exchange.head.uri.path())
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        let others = self.others.iter().map(String::as_str);
        std::iter::once(&*self.first).chain(others)
    }
}

fn without_parameters(path: &str) -> String {
    let segments = path.split('/');
    let bare = segments.map(|segment| segment.split(';').next().unwrap_or_default());
    bare.collect::<Vec<_>>().join("/")
}

fn with_single_slashes(path: &str) -> String {
    let mut single = String::with_capacity(path.len());
    for letter in path.chars() {
        if letter != '/' || !single.ends_with('/') {
            single.push(letter);
        }
    }
    single
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANYWHERE: Meaning = Meaning {
        at_start: false,
        opens: false,
        at_end: false,
        ignore_case: false,
    };

    fn rules(patterns: &[&str], meaning: Meaning) -> Rules<usize> {
        let rules = patterns.iter().enumerate().map(|(value, path)| Rule {
            path,
            method: "",
            ignore_case: false,
            value,
        });
        Rules::compile(rules, meaning).unwrap().unwrap()
    }

    fn check(pattern: &str, meaning: Meaning, path: &str, expected: bool) {
        let rules = rules(&[pattern], meaning);
        let found = rules.any(&Readings::new(path), &Method::GET);
        assert_eq!(found.is_some(), expected, "{pattern} {meaning:?} {path}");
    }

    #[test]
    fn patterns_mean_what_the_original_means() {
        let start = ANYWHERE.opening();
        let exact = Meaning {
            at_end: true,
            ..start
        };
        for (pattern, meaning, path, expected) in [
            ("/users", ANYWHERE, "/users", true),
            ("/users", ANYWHERE, "/v1/users/1", true),
            ("/users", start, "/users/1", true),
            ("/users", start, "/v1/users", false),
            ("users", ANYWHERE, "/v1/users", true),
            ("users", start, "/v1/users", false),
            ("users", start, "/users", true),
            ("/users", exact, "/users/1", false),
            ("/users/{id}", exact, "/users/1", true),
            ("/users/{id}", exact, "/users/1/x", false),
            ("/users/{id:[0-9]+}", exact, "/users/ab", false),
            ("/users/{id:[0-9]{2}}/x", exact, "/users/12/x", true),
            ("/users/[0-9]{2}$", start, "/users/12", true),
            ("/users/[0-9]{2}$", start, "/users/123", false),
            ("/a/*/b", start, "/a/x/b", true),
            ("/a/*/b", start, "/a/x/y/b", false),
            ("/a/*", start, "/a/x/y/b", true),
            ("^/a$", ANYWHERE, "/a", true),
            ("/a|/b", ANYWHERE, "/x/b", true),
            ("/a|/b", start, "/x/b", false),
            ("/a|/b", exact, "/a/x", false),
        ] {
            check(pattern, meaning, path, expected);
        }
    }

    #[test]
    fn a_path_is_matched_in_every_reading() {
        for path in [
            "/admin",
            "//admin",
            "/%61dmin",
            "/adm%69n",
            "/admin;x=1",
            "/admin%3bx",
            "/;a//admin;b",
        ] {
            check("^/admin$", ANYWHERE, path, true);
        }
        let one = rules(&["^/a/b$"], ANYWHERE);
        for path in ["/a//b", "/a;x/b", "/a//;x/b", "//a;y//b;z", "/a/%62"] {
            let path = Readings::new(path);
            assert!(one.any(&path, &Method::GET).is_some(), "{path:?}");
        }
    }

    #[test]
    fn what_opens_must_match_in_every_reading() {
        let open = rules(&["/open", "/a/b"], ANYWHERE.opening());
        for (path, expected) in [
            ("/open", true),
            ("/open/x", true),
            ("/op%65n", true),
            // One server sees `/openx`, another one `/open`: both are open.
            ("/open;x", true),
            ("//open", false),
            ("/a//b", false),
            ("/secret//open", false),
        ] {
            let found = open.every(&Readings::new(path), &Method::GET);
            assert_eq!(found.is_some(), expected, "{path}");
        }
    }

    #[test]
    fn methods_select_and_the_first_rule_wins() {
        let rule = |path, method, value| Rule {
            path,
            method,
            ignore_case: false,
            value,
        };
        let list = [
            rule("/a", "post", 1),
            rule("/a", "GET", 2),
            rule("/", "", 3),
        ];
        let rules = Rules::compile(list, ANYWHERE).unwrap().unwrap();
        let path = Readings::new("/a");
        let get = Method::from_bytes(b"get").unwrap();
        assert_eq!(rules.any(&path, &Method::POST), Some(&1));
        assert_eq!(rules.any(&path, &Method::GET), Some(&2));
        assert_eq!(rules.any(&path, &get), Some(&2));
        assert_eq!(rules.every(&path, &get), Some(&3));
        assert_eq!(rules.any(&path, &Method::PUT), Some(&3));
    }

    #[test]
    fn unusable_patterns_are_told_with_their_place() {
        for (path, method, part) in [
            ("/a(", "", "[1].path: `/a(`"),
            ("/a/{b", "", "`}` is missing"),
            ("", "", "[1].path: is empty"),
            ("/a", "G T", "[1].method: `G T`"),
        ] {
            let rule = |path, method| Rule {
                path,
                method,
                ignore_case: false,
                value: (),
            };
            let said = Rules::compile([rule("/", ""), rule(path, method)], ANYWHERE).unwrap_err();
            assert!(said.contains(part), "{said}");
        }
    }
}
