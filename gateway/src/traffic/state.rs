//! What is noted about a request of an API that has versions, lists of paths or transforms.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Response, header};

use super::Loop;
use crate::middleware::{Chosen, Ticket};
use crate::upstream::body::ResponseBody;
use crate::upstream::target::Target;

/// Notes of the steps, for later ones. Other requests have none.
#[derive(Default)]
pub struct Traffic {
    /// Which of the API's versions it is, in the order of their names.
    pub version: usize,
    /// The version is the first segment below the listen path.
    pub version_in_path: bool,
    /// Authentication and what depends on it let it pass.
    pub ignored: bool,
    /// The upstream, where it is not the API's.
    pub target: Option<Arc<Target>>,
    /// How long the upstream may take, where the definition has a limit of its own.
    pub time_limit: Option<Duration>,
    /// The path before it was rewritten, below the listen path: what later steps go by.
    pub asked_path: Option<String>,
    /// The API that takes over behind the chain.
    pub loop_to: Option<Loop>,
    /// How many APIs the request has gone through.
    pub depth: u8,
    /// The breaker that the request has passed.
    pub breaker: Option<Ticket>,
    /// Which of several upstreams it goes to.
    pub chosen: Option<Chosen>,
    /// What every answer gets, the gateway's own included.
    pub answer_headers: HeaderMap,
}

impl Traffic {
    /// Puts the noted headers on the answer.
    pub fn finish(&mut self, response: &mut Response<ResponseBody>) {
        let headers = response.headers_mut();
        let mut last = None;
        for (name, value) in std::mem::take(&mut self.answer_headers) {
            // A name stands before the first of its values only. The answer's own are replaced.
            match name {
                // What an answer depends on adds up.
                Some(name) if name == header::VARY => {
                    headers.append(name.clone(), value);
                    last = Some(name);
                }
                Some(name) => {
                    headers.insert(name.clone(), value);
                    last = Some(name);
                }
                None => {
                    let name = last.as_ref().expect("the first value has its name");
                    headers.append(name.clone(), value);
                }
            }
        }
    }
}
