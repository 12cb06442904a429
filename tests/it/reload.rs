//! Reload and drain without plugins: what is in flight finishes, what comes next is new.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use test_harness::probe::Probe;
use test_harness::{Client, Definition, Failure, Request, Upstream, wait};

use crate::gateway;

/// An upstream that answers when it is told to.
fn held() -> (Upstream, mpsc::Sender<()>) {
    let (release, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let upstream = Upstream::serving(move |connection| {
        while connection.next_request().is_some() {
            let _ = told.lock().unwrap().recv_timeout(wait::DEADLINE);
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nheld");
        }
    });
    (upstream, release)
}

#[test]
fn apis_come_and_go_with_a_reload() {
    let [one, two] = [(); 2].map(|()| Upstream::echo());
    let gateway = gateway().api(Definition::new("one").upstream(&one)).start();
    assert_eq!(gateway.get("/two/").status, 404);

    gateway.write_api(&Definition::new("two").upstream(&two));
    assert_eq!(
        gateway.get("/two/").status,
        404,
        "nothing changes before the reload"
    );
    gateway.reload();
    assert_eq!(
        (gateway.get("/one/").status, gateway.get("/two/").status),
        (200, 200)
    );

    gateway.remove_api("one");
    gateway.write_api(&Definition::new("two").listen("/moved/").upstream(&one));
    gateway.hang_up();
    assert_eq!(
        (gateway.get("/one/").status, gateway.get("/moved/").status),
        (404, 200)
    );
    let _moved = one.take();
}

#[test]
fn a_kept_connection_sees_the_new_table() {
    let upstream = Upstream::echo();
    let gateway = gateway().start();
    let mut client = gateway.connect();
    assert_eq!(client.request(&Request::get("/late/")).status, 404);
    gateway.write_api(&Definition::new("late").upstream(&upstream));
    gateway.reload();
    assert_eq!(client.request(&Request::get("/late/")).status, 200);
}

#[test]
fn a_request_in_flight_finishes_on_the_table_it_began_with() {
    let (upstream, release) = held();
    let gateway = gateway()
        .api(Definition::new("slow").upstream(&upstream))
        .start();
    let mut client = gateway.connect();
    client.send(Request::get("/slow/").bytes());
    let _begun = upstream.wait_for("the request", |_| true);
    gateway.remove_api("slow");
    gateway.reload();
    assert_eq!(gateway.get("/slow/").status, 404);
    release.send(()).unwrap();
    assert_eq!(client.read_final("GET").unwrap().text(), "held");
}

#[test]
fn a_definition_broken_by_an_edit_leaves_the_others_alone() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(Definition::new("good").upstream(&upstream))
        .api(Definition::new("edited").upstream(&upstream))
        .start();
    gateway.write("apps/edited.json", "{ \"api_id\": ");
    gateway.hang_up();
    gateway.wait_for_log("edited.json");
    assert_eq!(gateway.get("/good/").status, 200);
    assert_eq!(gateway.get("/edited/").status, 404);
}

#[test]
fn steady_load_sees_no_failure_during_reloads() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(Definition::new("busy").upstream(&upstream))
        .start();
    let kept: Vec<Probe> = (0..3)
        .map(|_| Probe::load(gateway.address(), "/busy/"))
        .collect();
    for round in 0..20 {
        gateway.write_api(&Definition::new(&format!("other-{}", round % 3)).upstream(&upstream));
        match round % 2 {
            0 => gateway.reload(),
            _ => gateway.hang_up(),
        }
        // New connections while the table changes.
        assert_eq!(gateway.post("/busy/", vec![b'x'; 100_000]).status, 200);
    }
    for probe in kept {
        probe.finish().assert_undisturbed(wait::DEADLINE);
    }
}

#[test]
fn sigterm_lets_requests_in_flight_finish_and_exits_0() {
    let (upstream, release) = held();
    let mut gateway = gateway()
        .api(Definition::new("slow").upstream(&upstream))
        .start();
    let mut idle = gateway.connect();
    assert_eq!(idle.request(&Request::get("/hello")).status, 200);
    let mut client = gateway.connect();
    client.send(Request::get("/slow/").bytes());
    let _begun = upstream.wait_for("the request", |_| true);
    gateway.signal("TERM");
    wait::until("nobody listens any more", || {
        std::net::TcpStream::connect_timeout(&gateway.address(), Duration::from_secs(1)).is_err()
    });
    assert!(idle.ends(), "an idle connection holds the drain up");
    assert!(
        gateway.is_running(),
        "the gateway ended before its last request"
    );
    release.send(()).unwrap();
    let response = client.read_final("GET").unwrap();
    assert_eq!(response.text(), "held");
    assert_eq!(
        response.header("Connection"),
        Some("close"),
        "the client must know"
    );
    assert!(client.ends());
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn sigterm_without_traffic_ends_at_once() {
    let gateway = gateway().start();
    let begun = std::time::Instant::now();
    assert_eq!(gateway.stop().code(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_second_sigterm_forces_the_end() {
    let (upstream, _release) = held();
    let mut gateway = gateway()
        .api(Definition::new("slow").upstream(&upstream))
        .start();
    let mut client = Client::connect(gateway.address());
    client.send(Request::get("/slow/").bytes());
    let _begun = upstream.wait_for("the request", |_| true);
    gateway.signal("TERM");
    wait::until("nobody listens any more", || {
        std::net::TcpStream::connect_timeout(&gateway.address(), Duration::from_secs(1)).is_err()
    });
    gateway.signal("TERM");
    let _status = gateway.wait_for_exit();
    assert!(matches!(
        client.read_final("GET"),
        Err(Failure::Closed | Failure::Reset | Failure::Truncated(_))
    ));
}

#[test]
fn the_grace_time_ends_what_does_not_finish() {
    let (upstream, _release) = held();
    let mut gateway = gateway()
        .api(Definition::new("slow").upstream(&upstream))
        .conf(serde_json::json!({"graceful_shutdown_timeout_duration": 1}))
        .start();
    let mut client = gateway.connect();
    client.send(Request::get("/slow/").bytes());
    let _begun = upstream.wait_for("the request", |_| true);
    let begun = std::time::Instant::now();
    gateway.signal("TERM");
    let _status = gateway.wait_for_exit();
    assert!(
        begun.elapsed() < wait::DEADLINE / 2,
        "{:?}",
        begun.elapsed()
    );
    assert!(client.read_final("GET").is_err());
}

#[test]
fn a_reload_while_another_one_runs_is_not_lost() {
    let upstream = Upstream::echo();
    let gateway = gateway().start();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (gateway, upstream) = (&gateway, &upstream);
            scope.spawn(move || {
                let id = format!("api-{number}");
                gateway.write_api(&Definition::new(&id).upstream(upstream));
                gateway.reload();
                assert_eq!(gateway.get(&format!("/{id}/")).status, 200, "{id}");
            });
        }
    });
}

#[test]
fn sigint_drains_too() {
    let mut gateway = gateway().start();
    assert_eq!(gateway.get("/hello").status, 200);
    gateway.signal("INT");
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}
