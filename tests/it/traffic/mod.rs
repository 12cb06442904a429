//! What a definition says of versions, paths, headers and answers.

mod bodies;
mod cache;
mod callers;
mod transforms;
mod uptime;
mod versions;

use serde_json::{Value, json};
use test_harness::{Definition, Gateway, Upstream};

use crate::gateway;

/// An API at `/a/` whose only version has these extended paths.
fn with_paths(upstream: &Upstream, paths: Value) -> Definition {
    Definition::new("a")
        .upstream(upstream)
        .set("/version_data/versions/Default/use_extended_paths", true)
        .set("/version_data/versions/Default/extended_paths", paths)
}

/// A gateway with an API that has these extended paths, and its upstream.
fn serving(paths: Value) -> (Gateway, Upstream) {
    let upstream = Upstream::echo();
    let gateway = gateway().api(with_paths(&upstream, paths)).start();
    (gateway, upstream)
}

/// A list of one path.
fn one(path: &str) -> Value {
    json!([{"path": path}])
}
