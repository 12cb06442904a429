//! Plugin bundles, and a server that has them. Archives are written here byte by byte, so that
//! they can be wrong in any way.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use crate::upstream::response;
use crate::{Upstream, plugin_fixture};

/// One entry of an archive.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name to the byte.
    pub name: Vec<u8>,
    /// What it unpacks to.
    pub data: Vec<u8>,
    /// Kind and permissions as Unix has them.
    pub mode: u32,
    /// Whether it is compressed.
    pub deflated: bool,
    /// A length to claim instead of the true one.
    pub claimed: Option<u32>,
    /// The general purpose flags; 1 is for encrypted.
    pub flags: u16,
}

impl Entry {
    /// A file.
    #[must_use]
    pub fn new(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            data: data.as_ref().to_vec(),
            mode: 0o100_644,
            deflated: false,
            claimed: None,
            flags: 0x0800,
        }
    }

    fn packed(&self) -> Vec<u8> {
        if !self.deflated {
            return self.data.clone();
        }
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&self.data).unwrap();
        encoder.finish().unwrap()
    }
}

/// A zip file of any entries.
#[must_use]
pub fn zip(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        let packed = entry.packed();
        let mut crc = Crc::new();
        crc.update(&entry.data);
        let size = entry.claimed.unwrap_or(entry.data.len() as u32);
        // Version, flags, method, time and date; then checksum, lengths, no extra field.
        let mut common = Vec::new();
        for value in [20, entry.flags, u16::from(entry.deflated) * 8, 0, 0x21] {
            common.extend_from_slice(&value.to_le_bytes());
        }
        for value in [crc.sum(), packed.len() as u32, size] {
            common.extend_from_slice(&value.to_le_bytes());
        }
        common.extend_from_slice(&(entry.name.len() as u16).to_le_bytes());
        common.extend_from_slice(&[0, 0]);
        directory.extend_from_slice(b"PK\x01\x02\x14\x03");
        directory.extend_from_slice(&common);
        directory.extend_from_slice(&[0; 6]);
        directory.extend_from_slice(&(entry.mode << 16).to_le_bytes());
        directory.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        directory.extend_from_slice(&entry.name);
        bytes.extend_from_slice(b"PK\x03\x04");
        bytes.extend_from_slice(&common);
        bytes.extend_from_slice(&entry.name);
        bytes.extend_from_slice(&packed);
    }
    let start = bytes.len() as u32;
    let count = (entries.len() as u16).to_le_bytes();
    bytes.extend_from_slice(&directory);
    bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    bytes.extend_from_slice(&[count, count].concat());
    bytes.extend_from_slice(&(directory.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&start.to_le_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

/// A bundle in the making.
#[derive(Debug, Clone)]
pub struct Bundle {
    files: Vec<(String, Vec<u8>)>,
    hooks: Map<String, Value>,
}

impl Bundle {
    /// A bundle without files and hooks.
    #[must_use]
    pub fn new(driver: &str) -> Self {
        Self {
            files: Vec::new(),
            hooks: Map::from_iter([("driver".to_owned(), json!(driver))]),
        }
    }

    /// What an author has in a folder: the files that its manifest lists, and its hooks.
    #[must_use]
    #[track_caller]
    pub fn of_folder(folder: &Path) -> Self {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let manifest: Value = serde_json::from_slice(&read("manifest.json")).unwrap();
        let names = manifest["file_list"].as_array().unwrap().iter();
        Self {
            files: names
                .map(|name| name.as_str().unwrap())
                .map(|name| (name.to_owned(), read(name)))
                .collect(),
            hooks: manifest["custom_middleware"].as_object().unwrap().clone(),
        }
    }

    /// Adds a file.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.files
            .push((name.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// Adds the plugin of a scenario, as the file that a bundle begins with.
    #[must_use]
    #[track_caller]
    pub fn fixture(self, scenario: &str, driver: &str) -> Self {
        self.fixture_as(scenario, driver, "middleware")
    }

    /// Adds the plugin of a scenario under a name of one's own, without the ending.
    #[must_use]
    #[track_caller]
    pub fn fixture_as(self, scenario: &str, driver: &str, name: &str) -> Self {
        let files = files_below(&plugin_fixture(scenario, driver));
        let [path] = files.as_slice() else {
            panic!("{scenario} has not one file: {files:?}")
        };
        let ending = path.extension().unwrap().to_str().unwrap();
        self.file(&format!("{name}.{ending}"), fs::read(path).unwrap())
    }

    /// Adds all files of a scenario, with their folders.
    #[must_use]
    #[track_caller]
    pub fn tree(mut self, scenario: &str, driver: &str) -> Self {
        let folder = plugin_fixture(scenario, driver);
        for path in files_below(&folder) {
            let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
            self = self.file(name, fs::read(&path).unwrap());
        }
        self
    }

    /// Adds a hook of the given kind (`pre`, `post`, …).
    #[must_use]
    pub fn hook(mut self, kind: &str, entry: Value) -> Self {
        match self.hooks.entry(kind).or_insert_with(|| json!([])) {
            Value::Array(entries) => entries.push(entry),
            other => *other = entry,
        }
        self
    }

    /// Adds a `pre` hook.
    #[must_use]
    pub fn pre(self, function: &str) -> Self {
        self.hook("pre", json!({"name": function}))
    }

    /// Its manifest, complete.
    #[must_use]
    pub fn manifest(&self) -> Value {
        let mut md5 = Md5::new();
        for (_, content) in &self.files {
            md5.update(content);
        }
        let names: Vec<_> = self.files.iter().map(|(name, _)| name).collect();
        json!({
            "file_list": names,
            "custom_middleware": self.hooks,
            "checksum": hex(&md5.finalize()),
            "signature": ""
        })
    }

    /// Its files as entries, without a manifest.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let files = self.files.iter();
        files.map(|(name, data)| Entry::new(name, data)).collect()
    }

    /// The archive with a manifest of one's own.
    #[must_use]
    pub fn zip_with(&self, manifest: &Value) -> Vec<u8> {
        let mut entries = self.entries();
        entries.push(Entry::new("manifest.json", manifest.to_string()));
        zip(&entries)
    }

    /// The archive.
    #[must_use]
    pub fn zip(&self) -> Vec<u8> {
        self.zip_with(&self.manifest())
    }

    /// The files and the manifest as an operator places them, below `folder`.
    pub fn place(&self, folder: &Path) {
        let manifest = self.manifest().to_string().into_bytes();
        let all = self.files.iter().cloned();
        for (name, content) in all.chain([("manifest.json".to_owned(), manifest)]) {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}

#[track_caller]
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("no folder {}: {error}", folder.display()));
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// MD5 of a text, in hexadecimal.
#[must_use]
pub fn md5_hex(text: &str) -> String {
    hex(&Md5::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A web server of bundles. What it has, and how it behaves, can change at any time.
#[derive(Debug)]
pub struct BundleServer {
    upstream: Upstream,
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Debug, Default)]
struct Shelf {
    bundles: HashMap<String, Vec<u8>>,
    /// Whole answers that are given first.
    scripted: Vec<Vec<u8>>,
    tags: bool,
    away: bool,
}

impl BundleServer {
    /// A server without a bundle.
    #[must_use]
    pub fn start() -> Self {
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let shared = Arc::clone(&shelf);
        let upstream = Upstream::serving(move |connection| {
            while let Some(received) = connection.next_request() {
                let answer = shared.lock().unwrap().answer(&received);
                match answer {
                    Some(answer) => connection.send(answer),
                    None => return connection.reset(),
                }
            }
        });
        Self { upstream, shelf }
    }

    /// Puts a bundle there, or another one in its place.
    pub fn put(&self, name: &str, zip: impl Into<Vec<u8>>) {
        let mut shelf = self.shelf.lock().unwrap();
        shelf.bundles.insert(format!("/{name}"), zip.into());
    }

    /// Gives these answers before any other.
    pub fn script(&self, answers: Vec<Vec<u8>>) {
        self.shelf.lock().unwrap().scripted = answers;
    }

    /// Sends an `ETag`, and 304 for what the client has.
    pub fn use_tags(&self) {
        self.shelf.lock().unwrap().tags = true;
    }

    /// Resets every connection, or ceases to.
    pub fn go_away(&self, away: bool) {
        self.shelf.lock().unwrap().away = away;
    }

    /// What the gateway asked for.
    #[must_use]
    pub fn requests(&self) -> Vec<crate::Received> {
        self.upstream.received()
    }

    /// The configuration of a gateway that uses it.
    #[must_use]
    pub fn conf(&self) -> Value {
        json!({"enable_bundle_downloader": true, "bundle_base_url": self.upstream.url("")})
    }
}

impl Shelf {
    fn answer(&mut self, received: &crate::Received) -> Option<Vec<u8>> {
        if self.away {
            return None;
        }
        if !self.scripted.is_empty() {
            return Some(self.scripted.remove(0));
        }
        let Some(zip) = self.bundles.get(&received.target) else {
            return Some(response(404, "text/plain", b"no such bundle"));
        };
        if !self.tags {
            return Some(response(200, "application/zip", zip));
        }
        let tag = format!("\"{}\"", hex(&Md5::digest(zip)));
        if received.header("If-None-Match") == Some(&tag) {
            return Some(format!("HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\n\r\n").into_bytes());
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Length: {}\r\n\r\n",
            zip.len()
        );
        Some([head.as_bytes(), zip].concat())
    }
}
