//! What gateways that share a server tell each other: to reload.
//!
//! Channel and message are the original's, so that either hears the other.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::RedisResult;
use serde::Deserialize;
use tokio::time::sleep;
use tracing::{debug, info};

use super::link::Link;

/// Where notices are.
pub(super) const CHANNEL: &str = "tyk.cluster.notifications";

/// The notice to reload.
pub(super) const RELOAD: &str =
    r#"{"command":"GroupReload","payload":"","signature":"","SignatureAlgo":""}"#;

/// Between attempts to listen.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Notice {
    command: String,
}

/// Listens for as long as this runs, on a connection of its own, and calls `reload` for each
/// notice. After the connection was lost it may have missed one.
pub(super) async fn listen(link: Arc<Link>, reload: Box<dyn Fn() + Send + Sync>) {
    let mut was_lost = false;
    loop {
        if let Err(error) = hear(&link, &reload, was_lost).await {
            debug!(%error, "Cannot listen for notices to reload; trying again.");
        }
        was_lost = true;
        sleep(PAUSE).await;
    }
}

async fn hear(link: &Link, reload: &(dyn Fn() + Send + Sync), was_lost: bool) -> RedisResult<()> {
    let mut channel = link.listener().await?;
    channel.subscribe(CHANNEL).await?;
    if was_lost {
        reload();
    }
    info!(channel = CHANNEL, "Listening for notices to reload.");
    let mut notices = channel.on_message();
    while let Some(notice) = notices.next().await {
        let notice = serde_json::from_slice::<Notice>(notice.get_payload_bytes());
        if notice.is_ok_and(|notice| notice.command == "GroupReload") {
            reload();
        }
    }
    Ok(())
}
