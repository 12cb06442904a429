//! The file's promises: it survives restarts, kills and a disk that fails, and never starts
//! as if it were empty.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use super::writer::{Change, Disk, Times};
use super::*;
use crate::storage::tests::{check, run};

const MOST: usize = 64 * 1024 * 1024;

/// Set in a process that is to be killed: where its store is.
const VICTIM: &str = "STORAGE_TEST_VICTIM";

/// What happens to a file's bytes.
type Damage = fn(&mut Vec<u8>);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn open(path: &Path) -> EmbeddedStore {
    EmbeddedStore::open(path, MOST).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(path: &Path) -> String {
    match EmbeddedStore::open(path, MOST) {
        Ok(_) => panic!("it opens"),
        Err(error) => error.to_string(),
    }
}

fn get(store: &EmbeddedStore, key: &str) -> Option<Bytes> {
    run(store.get(key)).expect("it is read")
}

#[test]
fn a_file_keeps_every_promise() {
    let folder = folder();
    let count = std::cell::Cell::new(0);
    check(|| {
        count.set(count.get() + 1);
        Box::new(open(&folder.path().join(count.get().to_string())))
    });
}

#[test]
fn entries_and_their_ends_survive_a_restart() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    let ttl = |millis| Some(Duration::from_millis(millis));
    run(store.set("kept", "v".into(), None)).expect("kept");
    run(store.set("deleted", "v".into(), None)).expect("kept");
    run(store.set("ends", "v".into(), ttl(200))).expect("kept");
    run(store.set("lives", "v".into(), ttl(3_600_000))).expect("kept");
    run(store.set_soon("soon", "v".into(), None)).expect("kept");
    run(store.delete("deleted")).expect("deleted");
    drop(store);
    let store = open(&path);
    for key in ["kept", "lives", "soon"] {
        assert_eq!(get(&store, key).as_deref(), Some(&b"v"[..]), "{key}");
    }
    assert_eq!(get(&store, "deleted"), None);
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while get(&store, "ends").is_some() {
        assert!(std::time::Instant::now() < until, "it does not expire");
        thread::sleep(Duration::from_millis(5));
    }
    let size = |path: &Path| fs::metadata(path).expect("a file").len();
    assert!(size(&path) > 0);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[test]
fn the_next_process_knows_how_late_it_is_whatever_the_clock_was() {
    let folder = folder();
    let path = folder.path().join("store");
    let system = crate::storage::clock::system_now();
    for (written, earliest) in [
        // Five seconds ago, in ten years, and at the very end of time.
        (system - 5000, 6000),
        (system + 315_360_000_000, 1000),
        (u64::MAX, 1000),
    ] {
        let (mut file, _) = file::open(&path).unwrap_or_else(|error| panic!("{error}"));
        let times = Times {
            store: 1000,
            system: written,
        };
        file.write(&mut std::iter::empty(), times).expect("written");
        drop(file);
        let (_, contents) = file::open(&path).unwrap_or_else(|error| panic!("{error}"));
        let late = earliest..earliest + 600_000;
        assert!(late.contains(&contents.now), "{written}: {}", contents.now);
    }
}

#[test]
fn only_the_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let path = folder.path().join("store");
    drop(open(&path));
    let mode = fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_belongs_to_one_store_at_a_time() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    let said = refusal(&path);
    assert!(
        said.contains("storage.path") && said.contains("in use"),
        "{said}"
    );
    drop(store);
    drop(open(&path));
}

#[test]
fn a_place_that_cannot_be_used_is_told_with_its_key() {
    let folder = folder();
    let missing = folder.path().join("no/such/folder/store");
    for path in [missing.as_path(), folder.path(), Path::new("/proc/store")] {
        let said = refusal(path);
        assert!(said.contains("storage.path: cannot open"), "{said}");
    }
}

#[test]
fn a_damaged_file_is_never_started_as_if_it_were_empty() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    for number in 0..2000 {
        let value = vec![b'v'; 500].into();
        run(store.set_soon(&format!("k{number}"), value, None)).expect("kept");
    }
    drop(store);
    let whole = fs::read(&path).expect("a file");
    let damages: [(&str, Damage); 6] = [
        ("emptied", Vec::clear),
        ("cut in the middle", |bytes| bytes.truncate(bytes.len() / 2)),
        ("cut in its head", |bytes| bytes.truncate(100)),
        ("something else", |bytes| {
            *bytes = b"{\"not\": \"a store\"}".to_vec()
        }),
        ("zeroed", |bytes| bytes.fill(0)),
        ("zeroed behind its head", |bytes| bytes[4096..].fill(0)),
    ];
    for (name, damage) in damages {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        fs::write(&path, &bytes).expect("it is written");
        let said = refusal(&path);
        assert!(
            said.contains("damaged") && said.contains("move it away"),
            "{name}: {said}"
        );
    }
    fs::write(&path, &whole).expect("it is written");
    assert_eq!(run(open(&path).keys("k")).expect("listed").len(), 2000);
}

#[test]
fn a_changed_byte_is_told_or_without_effect() {
    let folder = folder();
    let path = folder.path().join("store");
    let store = open(&path);
    for number in 0..200 {
        run(store.set_soon(&format!("k{number}"), vec![b'v'; 900].into(), None)).expect("kept");
    }
    drop(store);
    let whole = fs::read(&path).expect("a file");
    let mut told = 0;
    for at in (0..whole.len()).step_by((whole.len() / 100) | 1) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&path, &bytes).expect("it is written");
        match EmbeddedStore::open(&path, MOST) {
            Err(OpenError::Damaged { .. }) => told += 1,
            Err(error) => panic!("byte {at}: {error}"),
            Ok(store) => {
                assert_eq!(
                    run(store.keys("k")).expect("listed").len(),
                    200,
                    "byte {at}"
                );
                for number in 0..200 {
                    let value = get(&store, &format!("k{number}"));
                    assert_eq!(value, Some(vec![b'v'; 900].into()), "byte {at}");
                }
            }
        }
    }
    assert!(told > 0, "no byte that matters was changed");
}

/// A disk that can be told to fail.
#[derive(Clone, Default)]
struct Faulty {
    fails: Arc<AtomicBool>,
    written: Arc<Mutex<BTreeMap<Arc<str>, Bytes>>>,
}

impl Disk for Faulty {
    fn write(
        &mut self,
        changes: &mut dyn Iterator<Item = Change>,
        _times: Times,
    ) -> Result<(), String> {
        if self.fails.load(Ordering::SeqCst) {
            return Err("no space left".into());
        }
        let mut written = self.written.lock().expect("no panic");
        for (key, entry) in changes {
            match entry {
                Some(entry) => drop(written.insert(key, entry.value)),
                None => drop(written.remove(&key)),
            }
        }
        Ok(())
    }
}

fn on(disk: &Faulty) -> EmbeddedStore {
    let contents = file::Contents {
        entries: Vec::new(),
        now: 0,
    };
    EmbeddedStore::start(Box::new(disk.clone()), contents, MOST).expect("it starts")
}

#[test]
fn a_disk_that_fails_is_told_and_written_once_it_works() {
    let disk = Faulty::default();
    let store = on(&disk);
    run(store.set("before", "v".into(), None)).expect("kept");
    disk.fails.store(true, Ordering::SeqCst);
    for key in ["one", "two"] {
        let refused = run(store.set(key, "v".into(), None)).expect_err("the disk fails");
        assert_eq!(refused, StoreError::Unavailable("no space left".into()));
        assert_eq!(store.health(), Err(refused));
    }
    run(store.set_soon("three", "v".into(), None)).expect("it is in memory");
    assert_eq!(get(&store, "two").as_deref(), Some(&b"v"[..]));
    disk.fails.store(false, Ordering::SeqCst);
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while store.health().is_err() {
        assert!(std::time::Instant::now() < until, "it does not recover");
        thread::sleep(Duration::from_millis(5));
    }
    run(store.set("after", "v".into(), None)).expect("kept");
    let written = disk.written.lock().expect("no panic");
    for key in ["before", "one", "two", "three", "after"] {
        assert!(written.contains_key(key), "{key}");
    }
}

#[test]
fn a_retry_is_not_told_about_what_the_file_does_not_have() {
    let disk = Faulty::default();
    let store = on(&disk);
    run(store.set("key", "v".into(), None)).expect("kept");
    disk.fails.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        run(store.delete("key")).expect_err("the file still has it");
        run(store.set_if_absent("mark", "v".into(), None)).expect_err("the file has it not");
    }
    disk.fails.store(false, Ordering::SeqCst);
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while run(store.delete("key")).is_err() {
        assert!(std::time::Instant::now() < until, "it does not recover");
        thread::sleep(Duration::from_millis(5));
    }
    let absent = run(store.set_if_absent("mark", "v".into(), None));
    assert_eq!(absent, Ok(false));
    let written = disk.written.lock().expect("no panic");
    assert_eq!(
        written.keys().map(|key| &**key).collect::<Vec<_>>(),
        ["mark"]
    );
}

#[test]
fn what_has_expired_leaves_the_file_too() {
    let disk = Faulty::default();
    let store = on(&disk);
    let ttl = Some(Duration::from_millis(20));
    run(store.set("k", "v".into(), ttl)).expect("kept");
    assert_eq!(disk.written.lock().expect("no panic").len(), 1);
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while !disk.written.lock().expect("no panic").is_empty() {
        assert!(std::time::Instant::now() < until, "it stays");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Writes numbers from several threads and prints those that are acknowledged. It runs in a
/// process of its own, until it is killed.
#[test]
#[ignore = "the process that `no_acknowledged_write_is_lost_by_a_kill` starts"]
fn victim() {
    let path = PathBuf::from(std::env::var_os(VICTIM).expect("the path of a store"));
    let store = open(&path);
    thread::scope(|scope| {
        for writer in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for number in 0.. {
                    let (key, value) = (format!("w{writer}"), format!("{number}"));
                    let one = format!("{key}-{number}");
                    run(store.set(&one, value.clone().into(), None)).expect("kept");
                    run(store.set(&key, value.into(), None)).expect("kept");
                    println!("acknowledged {writer} {number}");
                    if number > 20 {
                        let old = format!("{key}-{}", number - 20);
                        run(store.delete(&old)).expect("deleted");
                        println!("deleted {writer} {}", number - 20);
                    }
                }
            });
        }
    });
}

/// Rounds of killing; more of them with `STORAGE_TEST_ROUNDS`.
fn rounds() -> u64 {
    let rounds = std::env::var("STORAGE_TEST_ROUNDS");
    rounds.map_or(30, |rounds| rounds.parse().expect("a number"))
}

#[test]
fn no_acknowledged_write_is_lost_by_a_kill() {
    let mut writes = 0;
    let mut folder = tempfile::tempdir();
    for round in 0..rounds() {
        // A new file for some rounds, so that its making is killed too.
        if round % 3 == 0 {
            folder = tempfile::tempdir();
        }
        let path = folder.as_ref().expect("a folder").path().join("store");
        writes += kill_once(&path, round * 5 % 100);
    }
    println!("{} kills, {writes} acknowledged writes", rounds());
    assert!(writes > 0, "nothing was written before a kill");
}

/// Kills a process that writes, after so many acknowledgements, and compares.
fn kill_once(path: &Path, lines: u64) -> usize {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "storage::embedded::tests::victim",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(VICTIM, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this test runs");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut text = Vec::new();
    for _ in 0..lines {
        output.read_until(b'\n', &mut text).expect("a line");
    }
    child.kill().expect("it is killed");
    child.wait().expect("it has ended");
    std::io::Read::read_to_end(&mut output, &mut text).expect("the rest");
    let text = String::from_utf8_lossy(&text);
    // The last line may be half a line.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let said = |word: &str| -> Vec<(usize, u64)> {
        let lines = whole.lines().filter_map(|line| {
            let (writer, number) = line.split_once(word)?.1.trim().split_once(' ')?;
            Some((writer.parse().ok()?, number.parse().ok()?))
        });
        lines.collect()
    };
    let (acknowledged, deleted) = (said("acknowledged"), said("deleted"));
    let store = open(path);
    for writer in 0..4 {
        let own = acknowledged.iter().filter(|one| one.0 == writer);
        let Some(last) = own.map(|one| one.1).max() else {
            continue;
        };
        let kept = get(&store, &format!("w{writer}")).expect("it is kept");
        let kept: u64 = String::from_utf8_lossy(&kept).parse().expect("a number");
        assert!(kept >= last, "writer {writer}: {kept} is older than {last}");
        for &(_, number) in acknowledged.iter().filter(|one| one.0 == writer) {
            let key = format!("w{writer}-{number}");
            let is_deleted = deleted.contains(&(writer, number));
            match get(&store, &key) {
                Some(value) => {
                    assert!(!is_deleted, "{key} is back");
                    assert_eq!(value, number.to_string());
                }
                // The last one may have been deleted before that could be told.
                None => assert!(is_deleted || number + 20 == last, "{key} is lost"),
            }
        }
    }
    acknowledged.len()
}
