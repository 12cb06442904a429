//! The quickstart: a gateway with example plugins in every language, an upstream, and a
//! request through every hook, shown so that a person sees what each plugin did.

mod http;
mod process;
mod scenario;
mod show;
mod upstream;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use serde_json::Value;

use crate::Result;
use crate::binary::{self, Profile};
use crate::metadata::Metadata;
use http::Message;
use process::Gateway;
use scenario::{Expected, Scenario};
use show::Show;

const EXAMPLE: &str = "examples/quickstart";
/// Where the example's API definitions expect the upstream.
const EXAMPLE_UPSTREAM: &str = "http://127.0.0.1:8081";

/// Builds, starts, shows; then serves until Ctrl-C, or with `check` ends at once.
pub(crate) fn run(metadata: &Metadata, check: bool, port: Option<u16>) -> Result {
    let binary = binary::build(metadata, Profile::Dev)?;
    let (stop, stopped) = mpsc::channel();
    ctrlc::set_handler(move || {
        // Nobody listens any more when the run is over.
        let _ = stop.send(());
    })?;

    let upstream = upstream::start()?;
    let folder = metadata.target_directory.join("quickstart");
    let port = port.or(check.then_some(0));
    prepare(&metadata.root.join(EXAMPLE), &folder, upstream, port)?;
    let mut gateway = Gateway::start(&binary, &folder)?;

    let show = Show::new();
    let wrong: usize = scenario::all()
        .iter()
        .map(|scenario| round_trip(scenario, &gateway, &show))
        .sum();
    println!();
    if !check {
        serve(&mut gateway, &folder, &stopped)?;
    }
    gateway.stop()?;
    if wrong > 0 {
        return Err(format!(
            "{wrong} answers are not as expected (see WRONG above); the gateway's log is {}",
            folder.join("gateway.log").display()
        )
        .into());
    }
    println!("quickstart: every answer is as expected, and the gateway has stopped");
    Ok(())
}

/// Copies the example to `folder`, with this run's upstream and port in it.
fn prepare(example: &Path, folder: &Path, upstream: SocketAddr, port: Option<u16>) -> Result {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    copy(example, folder)?;
    let conf = folder.join("tyk.conf");
    let mut settings: Value = serde_json::from_slice(&std::fs::read(&conf)?)
        .map_err(|error| format!("{EXAMPLE}/tyk.conf: {error}"))?;
    if let Some(port) = port {
        settings["listen_port"] = port.into();
    }
    std::fs::write(&conf, serde_json::to_string_pretty(&settings)?)?;
    for entry in std::fs::read_dir(folder.join("apps"))? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        if !text.contains(EXAMPLE_UPSTREAM) {
            return Err(format!(
                "{} must have its upstream at {EXAMPLE_UPSTREAM}",
                path.display()
            )
            .into());
        }
        let own = format!("http://{upstream}");
        std::fs::write(&path, text.replace(EXAMPLE_UPSTREAM, &own))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Sends one request, prints both sides, and returns how many expectations were not met.
fn round_trip(scenario: &Scenario, gateway: &Gateway, show: &Show) -> usize {
    show.title(&scenario.title);
    let request = request(scenario, gateway.address);
    show.request(&request);
    let answer = match http::call(gateway.address, &request) {
        Ok(answer) => answer,
        Err(error) => {
            show.wrong(&format!("no answer: {error}"));
            return 1;
        }
    };
    show.answer(&answer);
    let mut wrong = 0;
    for expected in &scenario.expected {
        let found = match expected {
            Expected::Log(words) => (!gateway.logs(words)).then(|| "no such line".to_owned()),
            _ => expected.differs(&answer),
        };
        match found {
            None => show.right(&expected.to_string()),
            Some(found) => {
                show.wrong(&format!("expected: {expected}; found: {found}"));
                wrong += 1;
            }
        }
    }
    wrong
}

fn request(scenario: &Scenario, address: SocketAddr) -> Message {
    let own = [("host".to_owned(), address.to_string())];
    let given = scenario
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let close = [("connection".to_owned(), "close".to_owned())];
    Message {
        start: format!("{} {} HTTP/1.1", scenario.method, scenario.target),
        headers: own.into_iter().chain(given).chain(close).collect(),
        body: scenario.body.as_bytes().to_vec(),
    }
}

/// Keeps serving until Ctrl-C; an error when the gateway ends by itself.
fn serve(gateway: &mut Gateway, folder: &Path, stopped: &mpsc::Receiver<()>) -> Result {
    println!(
        "The gateway serves on http://{}; try\n    curl -i -H 'Authorization: token-of-ada' -d \
         'two cups of tea' 'http://{}/mixed/orders?city=Paris'",
        gateway.address, gateway.address
    );
    println!(
        "Its configuration, plugins and log are in {}. Ctrl-C stops it.",
        folder.display()
    );
    loop {
        match stopped.recv_timeout(Duration::from_millis(300)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        if let Some(status) = gateway.ended()? {
            return Err(format!("the gateway ended by itself with {status}").into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_is_copied_with_the_run_s_addresses() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let folder = std::env::temp_dir().join(format!("example-{}", std::process::id()));
        let upstream = SocketAddr::from(([127, 0, 0, 1], 4321));
        prepare(&root.join(EXAMPLE), &folder, upstream, Some(0)).unwrap();
        // A second time, over what the first one left.
        prepare(&root.join(EXAMPLE), &folder, upstream, Some(0)).unwrap();

        let read = |path: &str| -> Value {
            serde_json::from_slice(&std::fs::read(folder.join(path)).unwrap()).unwrap()
        };
        assert_eq!(read("tyk.conf")["listen_port"], 0);
        for api in ["lua", "mixed", "python", "seed"] {
            let target = read(&format!("apps/{api}.json"))["proxy"]["target_url"].clone();
            assert_eq!(target, "http://127.0.0.1:4321/", "{api}");
        }
        assert!(folder.join("middleware/python/seed.py").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
