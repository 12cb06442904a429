//! Gets bundles from where `bundle_base_url` points: a web server or a folder.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::archive;
use crate::outbound::{Bounds, Outbound, OutboundError, Verification};

/// How often an answer may point to another place.
const MOST_REDIRECTS: usize = 5;

/// How long to wait before the second try; doubled for each one after it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest wait between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a path of a URL cannot have in it as it is.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b']')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The base URL cannot be used.
    #[error("bundle_base_url `{0}` {1}")]
    Base(String, &'static str),
    /// HTTP cannot be spoken at all.
    #[error("{0}")]
    Client(OutboundError),
    /// The server answered with something else.
    #[error("HTTP Error, got status code {0}")]
    Status(u16),
    /// Each answer points to another place.
    #[error("redirected more than {MOST_REDIRECTS} times")]
    Redirects,
    /// The server did not answer.
    #[error("{0}")]
    Outbound(OutboundError),
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    File(#[from] io::Error),
    /// The file is too long.
    #[error("is longer than {} bytes", archive::MOST_BYTES)]
    TooLong,
}

/// What a server says of a version, to be asked later whether there is another one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Validators {
    /// Where it came from: another place's validators mean nothing.
    url: String,
    etag: Option<String>,
    last_modified: Option<String>,
}

/// How long a fetch waits for its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How often a download is tried.
    attempts: u32,
    /// What one try may take.
    time: Duration,
}

/// What a fetch found.
pub enum Fetched {
    /// The version that the validators belong to.
    Unchanged,
    /// A whole bundle, which may be one that is known.
    Bundle {
        /// The archive.
        bytes: Bytes,
        /// To ask later with.
        validators: Validators,
    },
}

/// Fetches from one base URL.
pub struct Fetcher {
    /// The base URL without credentials and query.
    shown: String,
    place: Place,
}

enum Place {
    Folder(PathBuf),
    Server(Box<Server>),
}

struct Server {
    client: Outbound,
    scheme: Scheme,
    authority: Authority,
    path: String,
    query: Option<String>,
    authorization: Option<HeaderValue>,
}

// === impl Patience ===

impl Patience {
    /// For a load that nobody waits for.
    pub const FULL: Self = Self {
        attempts: 5,
        time: Duration::from_secs(5),
    };

    /// Where another bundle has waited in full.
    pub const ONE_TRY: Self = Self {
        attempts: 1,
        ..Self::FULL
    };

    /// Where a good version could serve already.
    pub const SHORT: Self = Self {
        attempts: 1,
        time: Duration::from_secs(1),
    };
}

// === impl Fetcher ===

impl Fetcher {
    /// Reads a base URL of the scheme `http`, `https` or `file`.
    pub fn new(base: &str, skip_verification: bool) -> Result<Self, FetchError> {
        let wrong = |reason| FetchError::Base(base.to_owned(), reason);
        if let Some(path) = base.strip_prefix("file://") {
            if !path.starts_with('/') {
                return Err(wrong("needs an absolute path, as in file:///srv/bundles"));
            }
            let path = percent_decode_str(path)
                .decode_utf8()
                .map_err(|_| wrong("is not UTF-8"))?;
            return Ok(Self {
                shown: base.trim_end_matches('/').to_owned(),
                place: Place::Folder(path.as_ref().into()),
            });
        }
        // What cannot be parsed is not shown, it may hold a password.
        let hidden = |reason| FetchError::Base("…".to_owned(), reason);
        let uri: Uri = base.parse().map_err(|_| hidden("is not a URL"))?;
        let server = Server::new(&uri, skip_verification)?;
        Ok(Self {
            shown: format!("{}://{}{}", server.scheme, server.authority, server.path),
            place: Place::Server(Box::new(server)),
        })
    }

    /// Where a bundle comes from, as far as it may be shown.
    pub fn source(&self, name: &str) -> String {
        format!("{}/{}", self.shown, name.trim_start_matches('/'))
    }

    /// Gets a bundle, unless it is the one that `known` belongs to.
    pub async fn fetch(
        &self,
        name: &str,
        known: Option<&Validators>,
        patience: Patience,
    ) -> Result<Fetched, FetchError> {
        let name = name.trim_start_matches('/');
        match &self.place {
            Place::Folder(folder) => read(&folder.join(name)),
            Place::Server(server) => {
                let source = self.source(name);
                let mut attempt = 1;
                loop {
                    let outcome = server.get(name, &source, known, patience.time).await;
                    match outcome {
                        Err(error) if error.may_pass() && attempt < patience.attempts => {
                            warn!(%error, source, attempt, "Bundle download failed, is tried again.");
                        }
                        outcome => return outcome,
                    }
                    tokio::time::sleep(pause(attempt)).await;
                    attempt += 1;
                }
            }
        }
    }
}

fn pause(attempt: u32) -> Duration {
    (FIRST_PAUSE * 2_u32.pow(attempt - 1)).min(LONGEST_PAUSE)
}

fn read(path: &Path) -> Result<Fetched, FetchError> {
    let mut bytes = Vec::new();
    let most = archive::MOST_BYTES as u64;
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(FetchError::TooLong);
    }
    Ok(Fetched::Bundle {
        bytes: bytes.into(),
        validators: Validators::default(),
    })
}

// === impl FetchError ===

impl FetchError {
    /// Whether another try may do better.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Status(code) => *code >= 500 || matches!(code, 408 | 429),
            Self::Outbound(OutboundError::Failed(_) | OutboundError::TimedOut(_)) => true,
            _ => false,
        }
    }
}

// === impl Server ===

impl Server {
    fn new(uri: &Uri, skip_verification: bool) -> Result<Self, FetchError> {
        let (scheme, authority) = match (uri.scheme(), uri.authority()) {
            (Some(scheme), Some(authority))
                if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS =>
            {
                (scheme.clone(), authority.as_str())
            }
            _ => {
                let reason = "begins with none of http://, https://, file://";
                return Err(FetchError::Base("…".into(), reason));
            }
        };
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, authority),
        };
        // Without TLS there is nothing to verify, and no need for trusted authorities. Where
        // such a server redirects to is no more certain than the server itself.
        let verification = if skip_verification || scheme == Scheme::HTTP {
            Verification::None
        } else {
            Verification::Full
        };
        Ok(Self {
            client: Outbound::new(verification).map_err(FetchError::Client)?,
            authority: host.parse().expect("a part of an authority"),
            scheme,
            path: uri.path().trim_end_matches('/').to_owned(),
            query: uri.query().map(str::to_owned),
            authorization: credentials.map(basic),
        })
    }

    async fn get(
        &self,
        name: &str,
        source: &str,
        known: Option<&Validators>,
        time: Duration,
    ) -> Result<Fetched, FetchError> {
        let known = known.filter(|known| known.url == source);
        let ends = Instant::now() + time;
        let mut request = self.request(name, known);
        for _ in 0..=MOST_REDIRECTS {
            let bounds = Bounds {
                time: ends.saturating_duration_since(Instant::now()),
                bytes: archive::MOST_BYTES,
            };
            let sent = self.client.send(request.clone(), bounds).await;
            let response = sent.map_err(|error| match error {
                OutboundError::TooLong(_) => FetchError::TooLong,
                OutboundError::TimedOut(_) => FetchError::Outbound(OutboundError::TimedOut(time)),
                error => FetchError::Outbound(error),
            })?;
            let status = response.status();
            match status {
                StatusCode::OK => return Ok(bundle(source, response)),
                StatusCode::NOT_MODIFIED if known.is_some_and(Validators::can_ask) => {
                    return Ok(Fetched::Unchanged);
                }
                _ => {}
            }
            let elsewhere = redirected(request, &response);
            request = elsewhere.ok_or(FetchError::Status(status.as_u16()))?;
        }
        Err(FetchError::Redirects)
    }

    fn request(&self, name: &str, known: Option<&Validators>) -> Request<Bytes> {
        let name = utf8_percent_encode(name, ENCODED);
        let query = self.query.as_ref().map(|query| format!("?{query}"));
        let path = format!("{}/{name}{}", self.path, query.unwrap_or_default());
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .expect("what is not allowed in a path is encoded");
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if let Some(known) = known {
            known.ask(headers);
        }
        request
    }
}

/// The request that an answer asks for, if it does. Never from `https` to `http`, and
/// credentials stay with the server that they are for.
fn redirected(mut request: Request<Bytes>, response: &Response<Bytes>) -> Option<Request<Bytes>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let to: Uri = location.parse().ok()?;
    let (from_scheme, from_authority) = (request.uri().scheme()?, request.uri().authority()?);
    let scheme = to.scheme().unwrap_or(from_scheme).clone();
    let authority = to.authority().unwrap_or(from_authority).clone();
    let encrypted = scheme == Scheme::HTTPS;
    let plain = scheme == Scheme::HTTP && *from_scheme == Scheme::HTTP;
    if !(encrypted || plain) || !to.path().starts_with('/') {
        return None;
    }
    if scheme != *from_scheme || authority != *from_authority {
        request.headers_mut().remove(AUTHORIZATION);
    }
    let uri = Uri::builder().scheme(scheme).authority(authority);
    *request.uri_mut() = uri
        .path_and_query(to.path_and_query()?.clone())
        .build()
        .ok()?;
    Some(request)
}

fn bundle(source: &str, response: Response<Bytes>) -> Fetched {
    let value = |name| {
        let value = response.headers().get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let validators = Validators {
        url: source.to_owned(),
        etag: value(ETAG),
        last_modified: value(LAST_MODIFIED),
    };
    Fetched::Bundle {
        bytes: response.into_body(),
        validators,
    }
}

fn basic(credentials: &str) -> HeaderValue {
    let plain: Vec<u8> = percent_decode_str(credentials).collect();
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(plain)))
        .expect("Base64 is a header's value");
    value.set_sensitive(true);
    value
}

// === impl Validators ===

impl Validators {
    fn can_ask(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }

    fn ask(&self, headers: &mut HeaderMap) {
        let conditions = [
            (IF_NONE_MATCH, &self.etag),
            (IF_MODIFIED_SINCE, &self.last_modified),
        ];
        for (name, value) in conditions {
            let value = value.as_ref().and_then(|value| value.parse().ok());
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(base: &str, name: &str) -> (String, Option<String>, String) {
        let fetcher = Fetcher::new(base, false).expect(base);
        let Place::Server(server) = &fetcher.place else {
            panic!("{base} is no server")
        };
        let request = server.request(name, None);
        let authorization = request.headers().get(AUTHORIZATION);
        let authorization = authorization.map(|value| value.to_str().expect("text").to_owned());
        (
            request.uri().to_string(),
            authorization,
            fetcher.source(name),
        )
    }

    #[test]
    fn names_are_appended_to_the_base() {
        for (base, name, url) in [
            ("http://h", "a.zip", "http://h/a.zip"),
            ("http://h/", "a.zip", "http://h/a.zip"),
            ("http://h:81/b/", "c/a.zip", "http://h:81/b/c/a.zip"),
            ("http://h/b", "ä b?.zip", "http://h/b/%C3%A4%20b%3F.zip"),
        ] {
            assert_eq!(request(base, name).0, url);
        }
    }

    #[test]
    fn credentials_are_sent_and_never_shown() {
        let (url, authorization, shown) = request("http://u:p%40@h/b?token=t", "a.zip");
        assert_eq!(url, "http://h/b/a.zip?token=t");
        assert_eq!(authorization.as_deref(), Some("Basic dTpwQA=="));
        assert_eq!(shown, "http://h/b/a.zip");
    }

    #[test]
    fn a_base_that_cannot_be_used_says_what_is_expected() {
        for (base, expected) in [
            ("ftp://h/", "http://"),
            ("bundles", "http://"),
            ("file://bundles", "absolute"),
            ("http://", "URL"),
        ] {
            let error = Fetcher::new(base, false).err().expect(base).to_string();
            assert!(error.contains(expected), "{base}: {error}");
        }
    }

    #[test]
    fn redirections_keep_credentials_and_encryption() {
        for (from, location, expected) in [
            ("https://h/a", "/b?c", Some(("https://h/b?c", true))),
            ("https://h/a", "https://h/b", Some(("https://h/b", true))),
            ("https://h/a", "https://i/b", Some(("https://i/b", false))),
            ("http://h/a", "https://h/b", Some(("https://h/b", false))),
            ("https://h/a", "http://h/b", None),
            ("http://h/a", "ftp://h/b", None),
            ("https://h/a", "b", None),
            ("https://h/a", "", None),
        ] {
            let request = Request::get(from).header(AUTHORIZATION, "x");
            let request = request.body(Bytes::new()).expect(from);
            let answer = Response::builder().status(302).header(LOCATION, location);
            let next = redirected(request, &answer.body(Bytes::new()).expect(location));
            let found = next.map(|next| {
                let kept = next.headers().contains_key(AUTHORIZATION);
                (next.uri().to_string(), kept)
            });
            let expected = expected.map(|(uri, kept)| (uri.to_owned(), kept));
            assert_eq!(found, expected, "{from} to {location}");
        }
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let pauses: Vec<_> = (1..7).map(|attempt| pause(attempt).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 5000, 5000]);
    }
}
