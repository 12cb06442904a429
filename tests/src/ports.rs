//! Ports that stay what a test takes them for, whatever runs beside it.
//!
//! A port that the system chose is free again once its socket is closed, and the next test
//! that asks gets the same one. So neither kind here is a port that was free a moment ago.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Socket, Type};

/// Below what Linux hands out by itself (`net.ipv4.ip_local_port_range`), so that nobody
/// gets one of these by asking for any.
const RESERVED: std::ops::Range<u16> = 10_000..32_000;

/// An address where connections are refused for as long as the process lives.
#[must_use]
pub fn refusing() -> SocketAddr {
    // Bound and not listening: the system refuses connections and gives the port to nobody.
    static KEPT: Mutex<Vec<Socket>> = Mutex::new(Vec::new());
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    KEPT.lock().unwrap().push(socket);
    address
}

/// A port for a program that cannot choose one itself. No two calls in a process give the
/// same, and other processes begin elsewhere.
#[must_use]
#[track_caller]
pub fn reserve() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let size = RESERVED.end - RESERVED.start;
    let begin = (std::process::id().wrapping_mul(97) % u32::from(size)) as u16;
    for _ in 0..size {
        let step = TAKEN.fetch_add(1, Ordering::Relaxed) % size;
        let port = RESERVED.start + (begin + step) % size;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port in {RESERVED:?} is free");
}
