//! Calls: a hook's object there and back, and an event.

use std::rc::Rc;
use std::time::Duration;

use coprocess_core::{DispatchError, Object};
use http::uri::PathAndQuery;
use prost::Message as _;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::client::{Client, Transport};
use crate::{apply, convert, proto};

const DISPATCH: &str = "/coprocess.Dispatcher/Dispatch";
const DISPATCH_EVENT: &str = "/coprocess.Dispatcher/DispatchEvent";

/// Headers of the client's request that tell to which trace it belongs; so do they in a call.
const TRACE: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// Runs a hook. Dropping the future cancels the call.
pub(crate) async fn dispatch(
    client: Rc<Client>,
    mut object: Object,
) -> Result<Object, DispatchError> {
    let limit = object.time_limit;
    let message = convert::message(&object);
    check_size(&client, &message)?;
    let mut call = Request::new(message);
    call.set_timeout(limit);
    pass_trace(&object, call.metadata_mut());
    let path = PathAndQuery::from_static(DISPATCH);
    let codec = ProstCodec::<proto::Object, proto::Object>::default();
    let reply = grpc(&client).unary(call, path, codec).await;
    let reply = reply.map_err(|status| failure(&client, &status, limit))?;
    apply::reply(reply.into_inner(), &mut object).map_err(|reason| DispatchError::Raised {
        message: format!("server {} {reason}", client.server.target),
    })?;
    Ok(object)
}

/// Hands over an event.
pub(crate) async fn event(
    client: Rc<Client>,
    payload: String,
    limit: Duration,
) -> Result<(), DispatchError> {
    let mut call = Request::new(proto::Event { payload });
    call.set_timeout(limit);
    let path = PathAndQuery::from_static(DISPATCH_EVENT);
    let codec = ProstCodec::<proto::Event, proto::EventReply>::default();
    let mut grpc = grpc(&client);
    let reply = grpc.unary(call, path, codec);
    match tokio::time::timeout(limit, reply).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(status)) => Err(failure(&client, &status, limit)),
        Err(_) => Err(DispatchError::TimeLimit {
            limit,
            detail: String::new(),
        }),
    }
}

/// Refuses what is too long to be sent. The library would, too, but without saying why.
fn check_size(client: &Client, message: &proto::Object) -> Result<(), DispatchError> {
    let limit = client.server.options.send_limit();
    if limit == usize::MAX {
        return Ok(());
    }
    let size = message.encoded_len();
    if size <= limit {
        return Ok(());
    }
    Err(DispatchError::Raised {
        message: format!("a call of {size} bytes is longer than grpc_send_max_size ({limit})"),
    })
}

fn grpc(client: &Rc<Client>) -> Grpc<Transport> {
    let (origin, options) = (&client.server.origin, &client.server.options);
    Grpc::with_origin(Transport(Rc::clone(client)), origin.clone())
        .max_decoding_message_size(options.receive_limit())
        .max_encoding_message_size(options.send_limit())
}

fn pass_trace(object: &Object, metadata: &mut MetadataMap) {
    for name in TRACE {
        let value = object.request.headers.get(name);
        let value = value.and_then(|value| MetadataValue::<Ascii>::try_from(value.as_bytes()).ok());
        if let Some(value) = value {
            metadata.insert(name, value);
        }
    }
}

/// What a status means for the request.
fn failure(client: &Client, status: &Status, limit: Duration) -> DispatchError {
    let server = &client.server.target;
    let (code, message) = (status.code(), status.message());
    match code {
        Code::DeadlineExceeded => DispatchError::TimeLimit {
            limit,
            detail: format!("; server {server} gave up: {message}"),
        },
        Code::Unavailable => DispatchError::Unavailable(format!("server {server}: {message}")),
        Code::OutOfRange | Code::ResourceExhausted => DispatchError::Raised {
            message: format!(
                "server {server}: {message}; limits of size are grpc_recv_max_size and \
                 grpc_send_max_size, and the server's own"
            ),
        },
        _ => DispatchError::Raised {
            message: format!("server {server} answered {code:?}: {message}"),
        },
    }
}
