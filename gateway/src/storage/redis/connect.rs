//! How a connection is made: to one server, to the master that sentinels name, to a cluster;
//! in the clear or by TLS.

use std::fs;
use std::path::Path;

use redis::aio::{ConnectionLike, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo as _, Pipeline, RedisConnectionInfo, RedisError, RedisFuture, RedisResult,
    TlsCertificates, TlsMode, Value, cmd,
};

use crate::config::{RedisOptions, RedisTls, Topology};

/// How often a call to a cluster is sent anew because a key has moved, or a node is gone.
const CLUSTER_RETRIES: u32 = 3;

/// A connection on which a server, or all of a cluster, has answered.
#[derive(Clone)]
pub(super) enum Calls {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Calls {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(commands, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// Connects, and sees that there is an answer: connecting alone does not wake a server that
/// hangs.
pub(super) async fn connect(options: &RedisOptions) -> RedisResult<Calls> {
    let mut calls = match &options.topology {
        Topology::Single => Calls::One(to_one(single(options)?).await?),
        Topology::Sentinel { master, password } => {
            Calls::One(to_one(of_sentinels(options, master, password).await?).await?)
        }
        Topology::Cluster => Calls::Cluster(to_cluster(options).await?),
    };
    cmd("PING").query_async::<()>(&mut calls).await?;
    Ok(calls)
}

/// A connection that hears what is published, by whichever server of a cluster.
pub(super) async fn listener(options: &RedisOptions) -> RedisResult<PubSub> {
    let mut last = Err((ErrorKind::InvalidClientConfig, "there is no address").into());
    if let Topology::Sentinel { master, password } = &options.topology {
        let client = of_sentinels(options, master, password).await?;
        return client.get_async_pubsub().await;
    }
    for address in addresses(options) {
        last = to_server(options, address)?.get_async_pubsub().await;
        if last.is_ok() {
            break;
        }
    }
    last
}

async fn to_one(client: Client) -> RedisResult<MultiplexedConnection> {
    // Each call has a limit of its own, so that one that is late can be told from one that
    // failed.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

fn single(options: &RedisOptions) -> RedisResult<Client> {
    let address = addresses(options).into_iter().next();
    let address = address.ok_or((ErrorKind::InvalidClientConfig, "there is no address"))?;
    to_server(options, address)
}

fn to_server(options: &RedisOptions, address: ConnectionAddr) -> RedisResult<Client> {
    let mut settings = RedisConnectionInfo::default().set_db(options.database.into());
    if !options.username.is_empty() {
        settings = settings.set_username(&options.username);
    }
    if !options.password.is_empty() {
        settings = settings.set_password(&options.password);
    }
    let info = with_settings(address, settings)?;
    match &options.tls {
        Some(tls) => Client::build_with_tls(info, certificates(tls)?),
        None => Client::open(info),
    }
}

/// The master that the sentinels name now.
async fn of_sentinels(options: &RedisOptions, master: &str, password: &str) -> RedisResult<Client> {
    let kind = SentinelServerType::Master;
    let mut builder = SentinelClientBuilder::new(addresses(options), master, kind)?
        .set_client_to_redis_db(options.database.into())
        .set_client_to_redis_tcp_settings(tcp());
    if !options.username.is_empty() {
        builder = builder.set_client_to_redis_username(&options.username);
    }
    if !options.password.is_empty() {
        builder = builder.set_client_to_redis_password(&options.password);
    }
    if !password.is_empty() {
        builder = builder.set_client_to_sentinel_password(password);
    }
    if let Some(tls) = &options.tls {
        let mode = mode(tls);
        builder = builder
            .set_client_to_redis_tls_mode(mode)
            .set_client_to_sentinel_tls_mode(mode)
            .set_client_to_redis_certificates(certificates(tls)?)
            .set_client_to_sentinel_certificates(certificates(tls)?);
    }
    builder.build()?.async_get_client().await
}

async fn to_cluster(options: &RedisOptions) -> RedisResult<ClusterConnection> {
    let nodes = addresses(options).into_iter();
    let nodes = nodes.map(|address| with_settings(address, RedisConnectionInfo::default()));
    let mut builder = ClusterClient::builder(nodes.collect::<RedisResult<Vec<_>>>()?)
        .tcp_settings(tcp())
        .retries(CLUSTER_RETRIES)
        .connection_timeout(options.timeout)
        .response_timeout(options.timeout);
    if !options.username.is_empty() {
        builder = builder.username(&options.username);
    }
    if !options.password.is_empty() {
        builder = builder.password(&options.password);
    }
    if let Some(tls) = &options.tls {
        builder = builder.tls(mode(tls)).certs(certificates(tls)?);
    }
    builder.build()?.get_async_connection().await
}

fn with_settings(
    address: ConnectionAddr,
    settings: RedisConnectionInfo,
) -> RedisResult<ConnectionInfo> {
    Ok(address
        .into_connection_info()?
        .set_tcp_settings(tcp())
        .set_redis_settings(settings))
}

fn tcp() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn addresses(options: &RedisOptions) -> Vec<ConnectionAddr> {
    let addresses = options.addresses.iter().cloned();
    let made = addresses.map(|(host, port)| match &options.tls {
        Some(tls) => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: tls.insecure_skip_verify,
            tls_params: None,
        },
        None => ConnectionAddr::Tcp(host, port),
    });
    made.collect()
}

fn mode(tls: &RedisTls) -> TlsMode {
    if tls.insecure_skip_verify {
        TlsMode::Insecure
    } else {
        TlsMode::Secure
    }
}

/// Read for each connection, so that certificates may be replaced.
fn certificates(tls: &RedisTls) -> RedisResult<TlsCertificates> {
    let given = |path: &Path| !path.as_os_str().is_empty();
    let client_tls = if given(&tls.cert_file) {
        Some(ClientTlsConfig {
            client_cert: read(&tls.cert_file)?,
            client_key: read(&tls.key_file)?,
        })
    } else {
        None
    };
    let root_cert = given(&tls.ca_file)
        .then(|| read(&tls.ca_file))
        .transpose()?;
    Ok(TlsCertificates {
        client_tls,
        root_cert,
    })
}

fn read(path: &Path) -> RedisResult<Vec<u8>> {
    fs::read(path).map_err(|error| {
        let reason = format!("{}: {error}", path.display());
        RedisError::from((ErrorKind::InvalidClientConfig, "cannot read", reason))
    })
}
