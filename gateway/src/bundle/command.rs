//! `gateway bundle …`: builds bundles, and tells whether one would be loaded.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use clap::Subcommand;

use super::archive::Archive;
use super::build::{Draft, PrivateKey};
use super::manifest::Manifest;
use super::verify::{self, Digests, PublicKey};
use crate::definition::HookEntry;

/// What can be done with bundles.
#[derive(Subcommand)]
pub enum BundleCommand {
    /// Pack the files that a manifest lists, with their checksum and signature
    Build {
        /// The manifest; its files are looked up from the working directory
        #[arg(long, short, value_name = "FILE", default_value = "manifest.json")]
        manifest: PathBuf,
        /// Where to write the bundle
        #[arg(long, short, value_name = "FILE", default_value = "bundle.zip")]
        output: PathBuf,
        /// Private RSA key in PEM to sign with
        #[arg(long, short, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Do not ask before an unsigned bundle is built
        #[arg(long, short = 'y')]
        skip_signing: bool,
    },
    /// Tell what is in a bundle, and whether a gateway would accept it
    Verify {
        /// The bundle
        file: PathBuf,
        /// Public RSA key in PEM that it has to be signed with
        #[arg(long, value_name = "FILE")]
        public_key: Option<PathBuf>,
    },
}

type CommandResult = Result<(), Box<dyn std::error::Error>>;

impl BundleCommand {
    /// Does it.
    pub fn run(&self) -> CommandResult {
        match self {
            Self::Build {
                manifest,
                output,
                key,
                skip_signing,
            } => build(manifest, output, key.as_deref(), *skip_signing),
            Self::Verify { file, public_key } => verify(file, public_key.as_deref()),
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn build(manifest: &Path, output: &Path, key: Option<&Path>, skip_signing: bool) -> CommandResult {
    let draft = Draft::read(manifest, Path::new("."))?;
    for key in draft.ignored() {
        let key = shown(key);
        eprintln!("{}: {key}: unknown, has no effect", manifest.display());
    }
    let key = key.map(PrivateKey::read).transpose()?;
    if key.is_none() && !skip_signing {
        confirm()?;
    }
    draft.pack(key.as_ref(), output)?;
    let signed = if key.is_some() { "signed" } else { "unsigned" };
    println!("Wrote {} ({signed}).", output.display());
    Ok(())
}

/// Asks whether the bundle is to be left unsigned.
fn confirm() -> CommandResult {
    if !io::stdin().is_terminal() {
        return Err(
            "no key is given: pass -k/--key FILE to sign the bundle, or \
                    -y/--skip-signing to leave it unsigned"
                .into(),
        );
    }
    eprint!("The bundle will not be signed. Continue? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err("nothing is built".into()),
    }
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn verify(file: &Path, public_key: Option<&Path>) -> CommandResult {
    let path = file.display();
    let key = public_key.map(PublicKey::read).transpose()?;
    let bytes = fs::read(file).map_err(|error| format!("{path}: {error}"))?;
    let wrong = |error: &dyn std::error::Error| format!("{path}: {}", shown(&error.to_string()));
    let mut archive = Archive::open(&bytes).map_err(|error| wrong(&error))?;
    let manifest = archive.manifest().map_err(|error| wrong(&error))?;
    let folder = tempfile::tempdir()?;
    archive
        .unpack(&manifest, folder.path())
        .map_err(|error| wrong(&error))?;
    Digests::of(folder.path(), &manifest)
        .and_then(|digests| digests.judge(&manifest, key.as_ref()))
        .map_err(|error| wrong(&error))?;
    let content = verify::hex(digest(&SHA256, &bytes).as_ref());
    println!("content   {content}");
    println!("checksum  {} (valid)", manifest.checksum);
    println!("signature {}", about_signature(&manifest, key.is_some()));
    for hook in hooks(&manifest) {
        println!("hook      {}", shown(&hook));
    }
    for file in &manifest.files {
        println!("file      {}", shown(&file.to_string_lossy()));
    }
    for file in archive.unlisted(&manifest) {
        let file = shown(&file.to_string_lossy());
        println!("left out  {file} (not in file_list)");
    }
    for key in &manifest.ignored {
        println!("ignored   {} (unknown key)", shown(key));
    }
    Ok(())
}

/// Text out of a bundle, on one line and without orders to the terminal: what a stranger
/// wrote must not look like what the command says.
fn shown(text: &str) -> String {
    let one = |character: char| match character {
        '\'' | '"' => character.to_string(),
        _ => character.escape_debug().to_string(),
    };
    text.chars().map(one).collect()
}

fn about_signature(manifest: &Manifest, checked: bool) -> &'static str {
    match (manifest.signature.is_empty(), checked) {
        (true, _) => "none",
        (false, true) => "valid",
        (false, false) => "not looked at; pass --public-key FILE",
    }
}

/// One line for each hook: kind, function, driver.
fn hooks(manifest: &Manifest) -> Vec<String> {
    let middleware = &manifest.custom_middleware;
    let auth: &[HookEntry] = match middleware.auth_check.name.as_str() {
        "" => &[],
        _ => std::slice::from_ref(&middleware.auth_check),
    };
    let kinds = [
        ("pre", middleware.pre.as_slice()),
        ("auth_check", auth),
        ("post_key_auth", &middleware.post_key_auth),
        ("post", &middleware.post),
        ("response", &middleware.response),
    ];
    let line = |kind: &str, entry: &HookEntry| {
        let own = Some(&entry.driver).filter(|driver| !driver.is_empty());
        let driver = own.unwrap_or(&middleware.driver);
        format!("{kind} {} ({driver})", entry.name)
    };
    kinds
        .iter()
        .flat_map(|(kind, entries)| entries.iter().map(move |entry| line(kind, entry)))
        .collect()
}
