//! `tyk://api/path`: another API of this gateway takes over.

use std::sync::Arc;

use http::Uri;

use crate::api::{Api, ApiTable};

/// Most times that a request goes from one API to another.
pub const MAX_DEPTH: u8 = 5;

/// The API that takes over, by id or name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loop(pub String);

impl Loop {
    /// Reads a URL, with the path that the API is asked for. `None` when it is of another
    /// scheme.
    pub fn parse(url: &str) -> Option<Result<(Self, Uri), String>> {
        let rest = url.strip_prefix("tyk://")?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (name, target) = rest.split_at(end);
        if name.is_empty() {
            return Some(Err(format!("`{url}` names no API")));
        }
        let target = if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("/{target}")
        };
        let uri = target.parse::<Uri>();
        let uri = uri.map_err(|error| format!("`{url}`: {error}"));
        Some(uri.map(|uri| (Self(name.to_owned()), uri)))
    }

    /// The API that is meant.
    pub fn find<'a>(&self, table: &'a ApiTable) -> Option<&'a Arc<Api>> {
        let name = plain(&self.0);
        let by_name = || table.apis.values().find(|api| plain(&api.name) == name);
        table.apis.get(&self.0).or_else(by_name)
    }
}

/// Names count without case, without what stands behind a `#`, and without other signs.
fn plain(name: &str) -> String {
    let name = name.split('#').next().unwrap_or_default();
    let letters = name.chars().filter(|letter| letter.is_ascii_alphanumeric());
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_an_api_and_a_path() {
        for (url, expected) in [
            ("tyk://api/a/b?c", Some(("api", "/a/b?c"))),
            ("tyk://my-api", Some(("my-api", "/"))),
            ("tyk://api?x=1", Some(("api", "/?x=1"))),
        ] {
            let (to, uri) = Loop::parse(url).unwrap().unwrap();
            assert_eq!(Some((&*to.0, &*uri.to_string())), expected);
        }
        assert!(Loop::parse("tyk:///x").unwrap().is_err());
        assert!(Loop::parse("http://a/x").is_none());
    }

    #[test]
    fn names_count_by_their_letters() {
        assert_eq!(plain("My API #tag"), plain("my-api"));
    }
}
