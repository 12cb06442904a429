//! WebSocket upgrades: after a 101 that the client asked for, bytes pass both ways.

use http::{HeaderMap, HeaderValue, Response, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tracing::debug;

use super::body::ResponseBody;
use crate::edge::hop;
use crate::error::ProxyError;

/// Whether a request asks for a WebSocket (RFC 6455, 4.1). Other protocols are not offered
/// to upstreams: the gateway could not tell what passes.
pub(crate) fn is_wanted(head: &http::request::Parts) -> bool {
    head.method == http::Method::GET
        && head.version == http::Version::HTTP_11
        && hop::names_option(&head.headers, "upgrade")
        && is_websocket(&head.headers)
}

fn is_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Puts the upgrade back into the headers of an upstream request.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Answers the client's upgrade with the upstream's and joins the two connections.
pub(super) fn establish(
    mut response: Response<Incoming>,
    client: Option<OnUpgrade>,
) -> Result<Response<ResponseBody>, ProxyError> {
    let Some(client) = client else {
        return Err(ProxyError::UpstreamProtocol(
            "101 that nobody asked for".into(),
        ));
    };
    if !is_websocket(response.headers()) {
        return Err(ProxyError::UpstreamProtocol(
            "101 to a protocol that was not asked for".into(),
        ));
    }
    let upstream = hyper::upgrade::on(&mut response);
    tokio::task::spawn_local(async move {
        if let Err(error) = join(client, upstream).await {
            debug!(%error, "Tunnel ended with an error.");
        }
    });
    let (mut head, _) = response.into_parts();
    hop::strip_response(&mut head.headers);
    ask(&mut head.headers);
    Ok(Response::from_parts(head, ResponseBody::empty()))
}

async fn join(client: OnUpgrade, upstream: OnUpgrade) -> Result<(), Box<dyn std::error::Error>> {
    let mut client = TokioIo::new(client.await?);
    let mut upstream = TokioIo::new(upstream.await?);
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}
