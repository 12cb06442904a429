//! A process that is killed while it writes: what it has acknowledged is there afterwards.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};
use test_harness::gateway::SECRET;
use test_harness::{Definition, Gateway, Request, Upstream, wait};

use crate::gateway;

/// How often the process is killed, and how many clients write meanwhile.
const ROUNDS: usize = 12;
const WRITERS: usize = 3;

fn begin(file: &Path, upstream: &Upstream) -> Gateway {
    let api = Definition::new("api")
        .upstream(upstream)
        .set("/use_keyless", false);
    gateway()
        .conf(json!({"storage": {"path": file}, "allow_master_keys": true}))
        .api(api)
        .start()
}

fn write(key: &str, session: &Value) -> Request {
    Request::post(&format!("/tyk/keys/{key}"), session.to_string())
        .header("X-Tyk-Authorization", SECRET)
}

/// Writes keys until the process is killed; tells which were acknowledged. One that was
/// refused or cut off may be there or not.
fn write_until_the_end(gateway: &Gateway, writer: &str, acknowledged: &AtomicUsize) -> Vec<String> {
    let mut client = gateway.connect();
    let mut keys = Vec::new();
    loop {
        let key = format!("{writer}-{:04}", keys.len());
        match client.try_request(&write(&key, &json!({"org_id": "org", "alias": key}))) {
            // It is a name in its organisation.
            Ok(response) if response.status == 200 => keys.push(format!("org{key}")),
            Ok(response) => panic!("{response:?}"),
            Err(_) => return keys,
        }
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn no_acknowledged_key_is_lost_by_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("killed.redb");
    let upstream = Upstream::echo();
    let mut expected = Vec::new();
    let mut gateway = begin(&file, &upstream);
    for round in 0..ROUNDS {
        let acknowledged = AtomicUsize::new(0);
        let keys = thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|number| {
                    let (gateway, acknowledged) = (&gateway, &acknowledged);
                    let name = format!("r{round:02}-w{number}");
                    scope.spawn(move || write_until_the_end(gateway, &name, acknowledged))
                })
                .collect();
            // Later in each round, so that kills meet different moments.
            wait::until("some are acknowledged", || {
                acknowledged.load(Ordering::Relaxed) >= 5 + 4 * round
            });
            gateway.signal("KILL");
            let written = writers.into_iter().map(|writer| writer.join().unwrap());
            written.flatten().collect::<Vec<_>>()
        });
        gateway.wait_for_exit();
        expected.extend(keys);
        gateway = begin(&file, &upstream);
    }
    let listed = gateway.admin("/tyk/keys").json();
    let listed: Vec<_> = listed["keys"].as_array().unwrap().iter().collect();
    let lost = expected
        .iter()
        .filter(|key| !listed.iter().any(|one| one.as_str() == Some(key)));
    let lost: Vec<_> = lost.collect();
    println!(
        "{ROUNDS} kills, {} acknowledged, {} lost",
        expected.len(),
        lost.len()
    );
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn a_kill_gives_back_a_little_quota_and_takes_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quota.redb");
    let upstream = Upstream::echo();
    let first = begin(&file, &upstream);
    let session = json!({"org_id": "org", "quota_max": 1000, "quota_renewal_rate": 3600});
    assert_eq!(first.send(&write("limited", &session)).status, 200);
    let request = Request::get("/api/").header("Authorization", "limited");
    let remaining = |gateway: &Gateway| -> i64 {
        let response = gateway.send(&request);
        assert_eq!(response.status, 200, "{response:?}");
        response
            .header("X-RateLimit-Remaining")
            .unwrap()
            .parse()
            .unwrap()
    };
    for _ in 0..20 {
        remaining(&first);
    }
    // What an answer of the admin API shows is in the file.
    let shown = first.admin("/tyk/keys/limited?org_id=org").json();
    assert_eq!(shown["quota_remaining"], 980);
    for _ in 0..20 {
        remaining(&first);
    }
    first.signal("KILL");
    drop(first);
    let left = remaining(&begin(&file, &upstream));
    assert!((959..=979).contains(&left), "{left}");
    println!(
        "of 40 requests {} are counted after a kill",
        1000 - left - 1
    );
}
