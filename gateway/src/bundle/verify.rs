//! Are the files of a bundle the ones that its author packed: checksum and signature.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::signature::{RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use super::manifest::Manifest;

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// Why a bundle is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file that the manifest lists.
    #[error("manifest.json lists `{file}`, which cannot be read: {source}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The files are not those that were packed.
    #[error("invalid checksum: manifest.json says `{said}`, its files have `{found}`")]
    Checksum {
        /// What the manifest says.
        said: String,
        /// What the files have.
        found: String,
    },
    /// A key is configured, so a signature is expected.
    #[error("Bundle isn't signed, and a public key is set")]
    Unsigned,
    /// The signature does not fit.
    #[error("signature is not valid for the public key: {0}")]
    Signature(&'static str),
}

/// Why a public key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("public key {path}: {reason}")]
pub struct KeyError {
    path: String,
    reason: String,
}

/// The key that bundles are signed with.
#[derive(Debug)]
pub struct PublicKey(Vec<u8>);

/// The digests of the bytes of all files of a bundle, one after another. This is what the
/// format signs: without names, without borders between files, without the manifest. The
/// same bytes, cut into files in another way, have the same digests.
pub struct Digests {
    md5: String,
    sha256: digest::Digest,
}

// === impl PublicKey ===

impl PublicKey {
    /// Reads a PEM file: `PUBLIC KEY` or `RSA PUBLIC KEY`.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let wrong = |reason: String| KeyError {
            path: path.display().to_string(),
            reason,
        };
        let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let found = pem::parse_many(text).map_err(|error| wrong(error.to_string()))?;
        let Some(key) = found
            .iter()
            .find(|found| matches!(found.tag(), "PUBLIC KEY" | "RSA PUBLIC KEY"))
        else {
            let tags: Vec<_> = found.iter().map(pem::Pem::tag).collect();
            return Err(wrong(format!(
                "has no PUBLIC KEY or RSA PUBLIC KEY in PEM; it has: [{}]",
                tags.join(", ")
            )));
        };
        let key = UnparsedPublicKey::new(
            &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            key.contents(),
        );
        if key.parse().is_err() {
            return Err(wrong("is not an RSA key of 1024 to 8192 bits".into()));
        }
        Ok(Self(key.as_ref().to_vec()))
    }
}

// === impl Digests ===

impl Digests {
    /// Reads the files that a manifest lists.
    pub fn of(root: &Path, manifest: &Manifest) -> Result<Self, VerifyError> {
        let mut md5 = Md5::new();
        let mut sha256 = digest::Context::new(&SHA256);
        for file in &manifest.files {
            let read = |source| VerifyError::Read {
                file: file.display().to_string(),
                source,
            };
            let mut source = File::open(root.join(file)).map_err(read)?;
            let mut chunk = vec![0; CHUNK];
            loop {
                let count = source.read(&mut chunk).map_err(read)?;
                if count == 0 {
                    break;
                }
                md5.update(&chunk[..count]);
                sha256.update(&chunk[..count]);
            }
        }
        Ok(Self {
            md5: hex(&md5.finalize()),
            sha256: sha256.finish(),
        })
    }

    /// The checksum as manifests write it.
    pub fn checksum(&self) -> &str {
        &self.md5
    }

    /// What signatures are made of.
    pub fn signed(&self) -> &digest::Digest {
        &self.sha256
    }

    /// Compares with what the manifest says, and with `key` where one is configured.
    pub fn judge(&self, manifest: &Manifest, key: Option<&PublicKey>) -> Result<(), VerifyError> {
        if !manifest.checksum.eq_ignore_ascii_case(&self.md5) {
            return Err(VerifyError::Checksum {
                said: manifest.checksum.clone(),
                found: self.md5.clone(),
            });
        }
        let Some(key) = key else {
            return Ok(());
        };
        if manifest.signature.is_empty() {
            return Err(VerifyError::Unsigned);
        }
        let signature = STANDARD
            .decode(manifest.signature.trim())
            .map_err(|_| VerifyError::Signature("it is not Base64"))?;
        UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, &key.0)
            .verify_digest(&self.sha256, &signature)
            .map_err(|_| VerifyError::Signature("other files, or another key"))
    }
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
