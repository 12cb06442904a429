//! Finds the API that a path belongs to.
//!
//! A listen path is a prefix and the longest one wins. Plain prefixes are looked up by
//! length in a hash map, so the cost follows the number of different lengths, not of APIs.
//! Listen paths with `{…}` patterns are regular expressions, tried one by one before plain
//! prefixes that are shorter.

use std::sync::Arc;

use regex::Regex;
use rustc_hash::FxHashMap;

/// What the router finds for a path.
#[derive(Debug)]
pub struct Router<T> {
    /// Listen paths are the operator's, so nobody else can make them collide.
    plain: FxHashMap<Box<str>, Arc<T>>,
    /// Different lengths of the plain prefixes, longest first.
    lengths: Vec<usize>,
    /// Patterns with the length of their text, longest first.
    patterns: Vec<(usize, Regex, Arc<T>)>,
    strict: bool,
}

/// A route cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The listen path is not usable.
    #[error("listen path `{0}` is {1}")]
    Path(String, &'static str),
    /// The pattern in the listen path is not a regular expression.
    #[error("listen path `{0}`: {1}")]
    Pattern(String, regex::Error),
}

impl<T> Router<T> {
    /// An empty router; `strict` makes prefixes end at a path segment.
    pub fn new(strict: bool) -> Self {
        Self {
            plain: FxHashMap::default(),
            lengths: Vec::new(),
            patterns: Vec::new(),
            strict,
        }
    }

    /// Adds a listen path. One that is taken stays whose it was; returns whether it was free.
    pub fn insert(&mut self, listen_path: &str, target: Arc<T>) -> Result<bool, RouteError> {
        if !self.is_free(listen_path)? {
            return Ok(false);
        }
        match Route::parse(listen_path)? {
            Route::Pattern(regex) => {
                let length = listen_path.len();
                let place = self
                    .patterns
                    .partition_point(|(known, ..)| *known >= length);
                self.patterns.insert(place, (length, regex, target));
            }
            Route::Plain(path) => {
                if let Err(place) = self.lengths.binary_search_by(|known| path.len().cmp(known)) {
                    self.lengths.insert(place, path.len());
                }
                self.plain.insert(path.into(), target);
            }
        }
        Ok(true)
    }

    /// Whether a listen path is free, before there is anything to put there.
    pub fn is_free(&self, listen_path: &str) -> Result<bool, RouteError> {
        Ok(match Route::parse(listen_path)? {
            Route::Pattern(regex) => !self
                .patterns
                .iter()
                .any(|(_, known, _)| known.as_str() == regex.as_str()),
            Route::Plain(path) => !self.plain.contains_key(path.as_str()),
        })
    }

    /// The target of the longest listen path that `path` begins with, and how many bytes of
    /// `path` the listen path covers.
    pub fn find(&self, path: &str) -> Option<(&Arc<T>, usize)> {
        let mut patterns = self.patterns.iter().peekable();
        for &length in self.lengths.iter().filter(|&&length| length <= path.len()) {
            while let Some((_, regex, target)) =
                patterns.next_if(|(pattern_length, ..)| *pattern_length >= length)
            {
                if let Some(found) = regex.find(path) {
                    return Some((target, found.end()));
                }
            }
            let Some(prefix) = path.get(..length) else {
                continue;
            };
            if let Some(target) = self.plain.get(prefix)
                && self.ends_well(path, length)
            {
                return Some((target, length));
            }
        }
        patterns.find_map(|(_, regex, target)| Some((target, regex.find(path)?.end())))
    }

    fn ends_well(&self, path: &str, length: usize) -> bool {
        !self.strict
            || path.as_bytes()[length - 1] == b'/'
            || matches!(path.as_bytes().get(length), None | Some(b'/'))
    }
}

/// A listen path, read.
enum Route {
    Plain(String),
    Pattern(Regex),
}

impl Route {
    fn parse(listen_path: &str) -> Result<Self, RouteError> {
        if listen_path.is_empty() {
            return Err(RouteError::Path(listen_path.to_owned(), "empty"));
        }
        if listen_path.contains(' ') {
            let reason = "not one path: it has spaces";
            return Err(RouteError::Path(listen_path.to_owned(), reason));
        }
        if listen_path.contains('{') {
            return pattern(listen_path).map(Self::Pattern);
        }
        let rooted = listen_path.starts_with('/');
        Ok(Self::Plain(if rooted {
            listen_path.to_owned()
        } else {
            format!("/{listen_path}")
        }))
    }
}

/// `/a/{name}/b` and `/a/{id:[0-9]+}` as regular expressions that match at the start.
fn pattern(listen_path: &str) -> Result<Regex, RouteError> {
    let mut expression = String::from("^");
    let mut rest = listen_path;
    while let Some(start) = rest.find('{') {
        expression.push_str(&regex::escape(&rest[..start]));
        let end = closing_brace(&rest[start..]).ok_or_else(|| {
            RouteError::Path(listen_path.to_owned(), "not closed: a `}` is missing")
        })?;
        let inside = &rest[start + 1..start + end];
        let inner = inside.split_once(':').map_or("[^/]+", |(_, inner)| inner);
        expression.push_str(&format!("(?:{inner})"));
        rest = &rest[start + end + 1..];
    }
    expression.push_str(&regex::escape(rest));
    Regex::new(&expression).map_err(|error| RouteError::Pattern(listen_path.to_owned(), error))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn router(strict: bool, paths: &[&str]) -> Router<String> {
        let mut router = Router::new(strict);
        for path in paths {
            assert!(router.insert(path, Arc::new((*path).to_owned())).unwrap());
        }
        router
    }

    fn check(router: &Router<String>, path: &str, expected: Option<(&str, usize)>) {
        let found = router
            .find(path)
            .map(|(target, length)| (target.as_str(), length));
        assert_eq!(found, expected, "for {path}");
    }

    #[test]
    fn longest_listen_path_wins() {
        let router = router(false, &["/", "/app/", "/app/inner/", "/app"]);
        check(&router, "/app/inner/x", Some(("/app/inner/", 11)));
        check(&router, "/app/x", Some(("/app/", 5)));
        check(&router, "/apple", Some(("/app", 4)));
        check(&router, "/other", Some(("/", 1)));
    }

    #[test]
    fn strict_routes_end_at_a_segment() {
        let router = router(true, &["/app", "/dir/"]);
        check(&router, "/apple", None);
        check(&router, "/app", Some(("/app", 4)));
        check(&router, "/app/x", Some(("/app", 4)));
        check(&router, "/dir/x", Some(("/dir/", 5)));
    }

    #[test]
    fn patterns_match_beside_prefixes() {
        let router = router(false, &["/users/{id:[0-9]{1,3}}/", "/users/", "/{name}/x"]);
        check(
            &router,
            "/users/12/x",
            Some(("/users/{id:[0-9]{1,3}}/", 10)),
        );
        check(&router, "/users/ab/x", Some(("/users/", 7)));
        check(&router, "/ab/x", Some(("/{name}/x", 5)));
        check(&router, "/ab/y", None);
    }

    #[test]
    fn unusable_listen_paths_are_refused() {
        let mut router = router(false, &["/a"]);
        assert!(!router.insert("/a", Arc::default()).unwrap());
        for path in ["", "/a b", "/{x", "/{x:(}"] {
            assert!(router.insert(path, Arc::default()).is_err(), "{path}");
        }
    }

    #[test]
    fn a_length_inside_a_letter_is_no_match() {
        let router = router(false, &["/a"]);
        check(&router, "/é", None);
    }
}
