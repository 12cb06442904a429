//! Packs a bundle: the files that a manifest lists, and the manifest with their checksum and
//! signature. The same input gives the same archive to the byte.

use std::fs::{self, File};
use std::io::{self, Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::Digest;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::archive::{Archive, ArchiveError};
use super::manifest::{self, Manifest, ManifestError};
use super::verify::{Digests, VerifyError};

/// Why a bundle is not built. Messages with a capital are the original's.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The manifest.
    #[error("Couldn't load manifest file: {path}: {source}")]
    Manifest {
        /// Where it is.
        path: String,
        /// Why.
        source: ManifestError,
    },
    /// It has no hooks.
    #[error("No hooks defined")]
    NoHooks,
    /// There is a hook without a language.
    #[error("No driver specified")]
    NoDriver,
    /// A file of the list.
    #[error("Referencing a nonexistent file: {0}")]
    NoFile(String),
    /// A file cannot be read.
    #[error("{0}")]
    Files(#[from] VerifyError),
    /// The private key.
    #[error("private key {path}: {reason}")]
    Key {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Packing.
    #[error("cannot be packed: {0}")]
    Pack(#[from] ZipError),
    /// No gateway would take it.
    #[error("no gateway would load the bundle: {0}")]
    Unusable(ArchiveError),
    /// A file or the output.
    #[error("{path}: {source}")]
    Disk {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// The key that a bundle is signed with.
pub struct PrivateKey(RsaKeyPair);

/// A manifest whose files are all there, ready to be packed.
pub struct Draft {
    manifest: Manifest,
    folder: PathBuf,
}

// === impl PrivateKey ===

impl PrivateKey {
    /// Reads a PEM file: `RSA PRIVATE KEY` or `PRIVATE KEY` (PKCS#8).
    pub fn read(path: &Path) -> Result<Self, BuildError> {
        let wrong = |reason: String| BuildError::Key {
            path: path.display().to_string(),
            reason,
        };
        let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let found = pem::parse_many(text).map_err(|error| wrong(error.to_string()))?;
        let key = found.iter().find_map(|found| match found.tag() {
            "RSA PRIVATE KEY" => Some(RsaKeyPair::from_der(found.contents())),
            "PRIVATE KEY" => Some(RsaKeyPair::from_pkcs8(found.contents())),
            _ => None,
        });
        match key {
            Some(Ok(key)) => Ok(Self(key)),
            Some(Err(error)) => Err(wrong(format!(
                "is not an RSA key of 2048 to 8192 bits: {error}"
            ))),
            None => Err(wrong("has no RSA PRIVATE KEY or PRIVATE KEY in PEM".into())),
        }
    }

    fn sign(&self, digest: &Digest) -> String {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign_digest(&RSA_PKCS1_SHA256, digest, &mut signature)
            .expect("the key is valid and the digest is SHA-256");
        STANDARD.encode(signature)
    }
}

// === impl Draft ===

impl Draft {
    /// Reads a manifest whose files lie in `folder`.
    pub fn read(manifest: &Path, folder: &Path) -> Result<Self, BuildError> {
        let failed = |source: ManifestError| match source {
            ManifestError::NoHooks => BuildError::NoHooks,
            source => BuildError::Manifest {
                path: manifest.display().to_string(),
                source,
            },
        };
        let file = File::open(manifest).map_err(|error| failed(error.into()))?;
        let manifest = Manifest::read(file).map_err(failed)?;
        if !names_its_drivers(&manifest) {
            return Err(BuildError::NoDriver);
        }
        for file in &manifest.files {
            if !folder.join(file).is_file() {
                return Err(BuildError::NoFile(file.display().to_string()));
            }
        }
        Ok(Self {
            manifest,
            folder: folder.to_owned(),
        })
    }

    /// Keys of the manifest that have no effect.
    pub fn ignored(&self) -> &[String] {
        &self.manifest.ignored
    }

    /// Packs, and writes the archive to `output` once it is complete.
    pub fn pack(&self, key: Option<&PrivateKey>, output: &Path) -> Result<(), BuildError> {
        let digests = Digests::of(&self.folder, &self.manifest)?;
        let signature = key.map(|key| key.sign(digests.signed()));
        let mut manifest = self.manifest.raw.clone();
        manifest["checksum"] = Value::from(digests.checksum());
        manifest["signature"] = Value::from(signature.unwrap_or_default());
        let bytes = self.archive(&manifest.to_string())?;
        let mut packed = Archive::open(&bytes).map_err(BuildError::Unusable)?;
        packed.manifest().map_err(BuildError::Unusable)?;
        write(output, &bytes).map_err(|source| BuildError::Disk {
            path: output.display().to_string(),
            source,
        })
    }

    fn archive(&self, manifest: &str) -> Result<Vec<u8>, BuildError> {
        let progress = ProgressBar::new(self.manifest.files.len() as u64);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}");
        progress.set_style(style.expect("the template is right"));
        // Owner and time would make the same files into another archive.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644);
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for file in &self.manifest.files {
            let name = file.display().to_string();
            progress.set_message(name.clone());
            let path = self.folder.join(file);
            let failed = |source| BuildError::Disk {
                path: path.display().to_string(),
                source,
            };
            zip.start_file(name, options)?;
            let mut source = File::open(&path).map_err(failed)?;
            io::copy(&mut source, &mut zip).map_err(failed)?;
            progress.inc(1);
        }
        zip.start_file(manifest::FILE_NAME, options)?;
        zip.write_all(manifest.as_bytes()).map_err(ZipError::from)?;
        let bytes = zip.finish()?.into_inner();
        progress.finish_and_clear();
        Ok(bytes)
    }
}

fn names_its_drivers(manifest: &Manifest) -> bool {
    let middleware = &manifest.custom_middleware;
    let lists = [
        &middleware.pre,
        &middleware.post_key_auth,
        &middleware.post,
        &middleware.response,
    ];
    let auth = Some(&middleware.auth_check).filter(|entry| !entry.name.is_empty());
    let mut entries = lists.into_iter().flatten().chain(auth);
    !middleware.driver.is_empty() || entries.all(|entry| !entry.driver.is_empty())
}

/// Written beside and renamed: an output that is there is whole.
fn write(output: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut draft = tempfile::Builder::new()
        .prefix(".bundle-")
        .permissions(fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)?;
    draft.write_all(bytes)?;
    draft.persist(output)?;
    Ok(())
}
