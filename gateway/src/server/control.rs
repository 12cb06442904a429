//! The control plane's own listener, for who keeps it off the data plane's port.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::{ACCEPT_PAUSE, ServerError, handshake};
use crate::config::Config;
use crate::tls::server::Termination;

/// Longest wait for a request's head.
const HEADER_LIMIT: Duration = Duration::from_secs(30);

/// Listens on `control_api_port` and serves the control plane there. Must be called on the
/// control runtime.
pub async fn listen(
    config: &Arc<Config>,
    router: axum::Router,
    termination: Option<Arc<Termination>>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), ServerError> {
    let address = super::address(config, config.control_api_port)?;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServerError::Bind { address, source })?;
    info!(%address, "Listening for the control API.");
    tokio::spawn(async move {
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => drop(tokio::spawn(accept(stream, router.clone(), termination.clone()))),
                    Err(error) => {
                        warn!(%error, "Cannot accept a connection of the control API.");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                _ = stopped.changed() => return,
            }
        }
    });
    Ok(())
}

async fn accept(stream: TcpStream, router: axum::Router, tls: Option<Arc<Termination>>) {
    let Some(tls) = tls else {
        return serve(stream, router).await;
    };
    let outcome = tokio::time::timeout(tls.handshake_limit, handshake::open(stream, &tls)).await;
    match outcome {
        Ok(Ok(Some(stream))) => serve(stream, router).await,
        Ok(Err(error)) => debug!(%error, "TLS handshake of the control API failed."),
        Ok(Ok(None)) | Err(_) => debug!("Connection of the control API ended without TLS."),
    }
}

async fn serve<S>(stream: S, router: axum::Router)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = TowerToHyperService::new(router);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = serving.await {
        debug!(%error, "Connection of the control API ended with an error.");
    }
}
