//! The connections of one thread to one server, and which of them a call takes.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use crate::connect::{Address, Sender, resolve, with_causes};
use crate::link::{self, Link, Ready};
use crate::server::{DROPPED, Server};
use crate::target::Place;

/// How long the addresses of a name are used before it is looked up again.
const NAME_LIFETIME: Duration = Duration::from_secs(30);

/// How often a call that was never sent is tried on another connection.
const TRIES: u32 = 3;

/// The connections of one thread to one server.
pub(crate) struct Client {
    pub(crate) server: Arc<Server>,
    links: RefCell<Vec<Rc<Link>>>,
    /// Which one is next.
    turn: Cell<usize>,
    lookup: RefCell<Lookup>,
}

/// What is known of the addresses of a name.
enum Lookup {
    /// Not needed: there is one link, which looks for itself.
    Never,
    /// Needed.
    Due,
    /// On its way.
    UnderWay(watch::Receiver<Option<Found>>),
    /// Done.
    At(Instant),
}

type Found = Result<Vec<SocketAddr>, Arc<str>>;

/// All connections of one thread.
struct Clients {
    entries: Vec<(u64, Weak<Server>, Rc<Client>)>,
    /// The value of [`DROPPED`] when this thread last looked for servers that are gone.
    swept: u64,
}

thread_local! {
    static CLIENTS: RefCell<Clients> = const {
        RefCell::new(Clients { entries: Vec::new(), swept: 0 })
    };
}

/// This thread's connections to a server.
pub(crate) fn of_this_thread(server: &Arc<Server>) -> Rc<Client> {
    CLIENTS.with_borrow_mut(|clients| {
        let dropped = DROPPED.load(Ordering::Relaxed);
        if clients.swept != dropped {
            clients.swept = dropped;
            clients
                .entries
                .retain(|(_, server, _)| server.strong_count() > 0);
        }
        let known = clients.entries.iter().find(|(id, ..)| *id == server.id);
        if let Some((_, _, client)) = known {
            return Rc::clone(client);
        }
        let client = Rc::new(Client::new(Arc::clone(server)));
        let entry = (server.id, Arc::downgrade(server), Rc::clone(&client));
        clients.entries.push(entry);
        client
    })
}

impl Client {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        let several = server.options.round_robin && server.target.host().is_some();
        let (links, lookup) = if several {
            (Vec::new(), Lookup::Due)
        } else {
            (vec![Rc::new(Link::new(Address::Any))], Lookup::Never)
        };
        Self {
            server,
            links: RefCell::new(links),
            turn: Cell::new(0),
            lookup: RefCell::new(lookup),
        }
    }

    /// A connection for one call: the next one that is there, or else the first that comes up.
    async fn sender(&self) -> Result<Sender, Arc<str>> {
        self.look_up().await?;
        let mut pending = Vec::new();
        let mut reason: Arc<str> = "no connection was tried".into();
        let links = self.links.borrow().clone();
        let first = self.turn.get();
        for step in 0..links.len() {
            let place = (first + step) % links.len();
            match links[place].ready(&self.server) {
                Ready::Sender(sender) => {
                    self.turn.set(place + 1);
                    return Ok(sender);
                }
                Ready::Wait(outcome) => pending.push(outcome),
                Ready::Down(why) => reason = why,
            }
        }
        for outcome in pending {
            match link::outcome(outcome).await {
                Ok(sender) => return Ok(sender),
                Err(why) => reason = why,
            }
        }
        self.look_up_again();
        Err(reason)
    }

    /// Makes sure that there are links. Only the first calls wait for it.
    async fn look_up(&self) -> Result<(), Arc<str>> {
        let due = match &*self.lookup.borrow() {
            Lookup::Never => return Ok(()),
            Lookup::At(when) => when.elapsed() > NAME_LIFETIME,
            Lookup::Due => true,
            Lookup::UnderWay(_) => false,
        };
        if due {
            self.begin_look_up();
        }
        let under_way = match &*self.lookup.borrow() {
            Lookup::UnderWay(found) => Some(found.clone()),
            _ => None,
        };
        let Some(mut found) = under_way else {
            return Ok(());
        };
        if self.links.borrow().is_empty() {
            // An answer, or the end of the task that would have had one.
            let _ = found.wait_for(Option::is_some).await;
        }
        let found = match &*found.borrow() {
            Some(found) => found.clone(),
            None => return Ok(()),
        };
        self.take(found)
    }

    fn begin_look_up(&self) {
        let Place::Host(host, port) = &self.server.target.place else {
            return;
        };
        let (host, port) = (host.clone(), *port);
        let (done, found) = watch::channel(None);
        tokio::spawn(async move {
            let _ = done.send(Some(resolve(&host, port).await.map_err(Arc::from)));
        });
        self.lookup.replace(Lookup::UnderWay(found));
    }

    /// Puts what was found in the place of what was there. Connections to addresses that stay
    /// do too.
    fn take(&self, found: Found) -> Result<(), Arc<str>> {
        let mut links = self.links.borrow_mut();
        let addresses = match found {
            Ok(addresses) => addresses,
            // Old addresses are better than none.
            Err(_) if !links.is_empty() => {
                self.lookup.replace(Lookup::At(Instant::now()));
                return Ok(());
            }
            Err(reason) => {
                self.lookup.replace(Lookup::Due);
                return Err(reason);
            }
        };
        let mut old = std::mem::take(&mut *links);
        for address in addresses.into_iter().map(Address::One) {
            let kept = old.iter().position(|link| link.address == address);
            links.push(match kept {
                Some(place) => old.swap_remove(place),
                None => Rc::new(Link::new(address)),
            });
        }
        self.lookup.replace(Lookup::At(Instant::now()));
        Ok(())
    }

    /// None of the addresses is reachable; perhaps there are others by now.
    fn look_up_again(&self) {
        let mut lookup = self.lookup.borrow_mut();
        if let Lookup::At(_) = *lookup {
            *lookup = Lookup::Due;
        }
    }
}

// === what tonic sends calls through ===

/// A client as tonic wants it.
pub(crate) struct Transport(pub(crate) Rc<Client>);

type Answer = Result<http::Response<Incoming>, Status>;

impl tower_service::Service<http::Request<Body>> for Transport {
    type Response = http::Response<Incoming>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Answer>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(send(Rc::clone(&self.0), request))
    }
}

/// Sends a call. One that found its connection closed before it left goes to another one.
async fn send(client: Rc<Client>, mut request: http::Request<Body>) -> Answer {
    for _ in 1..TRIES {
        match try_send(&client, request).await {
            Ok(answer) => return answer,
            Err(unsent) => request = unsent,
        }
    }
    match try_send(&client, request).await {
        Ok(answer) => answer,
        Err(_) => Err(Status::unavailable(
            "connections close before a call is sent",
        )),
    }
}

/// The answer, or the call where it has not left.
async fn try_send(
    client: &Client,
    request: http::Request<Body>,
) -> Result<Answer, http::Request<Body>> {
    let mut sender = match client.sender().await {
        Ok(sender) => sender,
        Err(reason) => return Ok(Err(Status::unavailable(format!("no connection: {reason}")))),
    };
    match sender.try_send_request(request).await {
        Ok(response) => Ok(Ok(response)),
        Err(mut error) => match error.take_message() {
            Some(unsent) => Err(unsent),
            None => {
                let text = format!("connection broke: {}", with_causes(&error.into_error()));
                Ok(Err(Status::unavailable(text)))
            }
        },
    }
}

#[cfg(test)]
#[path = "../tests/client/server.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod test_server;

#[cfg(test)]
mod tests {
    use super::test_server::{Answer, Server as Peer};
    use super::*;
    use crate::options::Options;
    use crate::server::Servers;
    use crate::{call, proto};

    fn peer(address: &str) -> Peer {
        Peer::at(address, |object: &proto::Object| {
            Answer::Object(Box::new(object.clone()))
        })
    }

    /// What calls say that were sent one after the other.
    async fn calls(client: &Rc<Client>, count: usize) -> Vec<bool> {
        let mut outcomes = Vec::new();
        for _ in 0..count {
            let limit = Duration::from_secs(10);
            let outcome = call::event(Rc::clone(client), String::new(), limit).await;
            outcomes.push(outcome.is_ok());
        }
        outcomes
    }

    /// No name of this machine has several addresses, so the look-up is done here.
    #[tokio::test]
    async fn calls_go_to_all_addresses_of_a_name_in_turn() {
        let one = peer("127.0.0.1:0");
        let port = one.address().port();
        let two = peer(&format!("127.0.0.2:{port}"));
        let options = serde_json::json!({
            "coprocess_grpc_server": format!("dns:///localhost:{port}"),
            "grpc_round_robin_load_balancing": true,
        });
        let options = Options::read(options.as_object().unwrap()).unwrap();
        let client = Rc::new(Client::new(Servers::default().find(options).unwrap()));
        client.take(Ok(vec![one.address(), two.address()])).unwrap();
        while one.seen().is_empty() || two.seen().is_empty() {
            assert_eq!(calls(&client, 1).await, [true]);
        }
        let before = (one.seen().len(), two.seen().len());
        assert_eq!(calls(&client, 10).await, [true; 10]);
        let after = (one.seen().len(), two.seen().len());
        assert_eq!((after.0 - before.0, after.1 - before.1), (5, 5));

        drop(two);
        // The first of them may have been under way when the other one ended.
        calls(&client, 2).await;
        assert_eq!(calls(&client, 10).await, [true; 10]);
        assert_eq!(one.connections(), 1, "the connection that held was kept");
    }
}
