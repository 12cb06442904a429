//! Private keys at rest: PEM blocks that are encrypted with the operator's secret.
//!
//! The form is the one of RFC 1423 that the original writes (AES-256 in CBC mode, its key made
//! from the secret by MD5), so that gateways of both kinds can share a server. It is only as
//! good as the secret is long, and it does not notice changes by itself: that a key belongs
//! to its certificate is checked where it is used.

use aws_lc_rs::cipher::{
    AES_256, AES_256_KEY_LEN, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use md5::{Digest, Md5};
use pem::Pem;

use crate::session::key::hex;

/// What a block is called that `seal` has made.
const TAG: &str = "ENCRYPTED PRIVATE KEY";

/// The field that says how a block is encrypted.
const HOW: &str = "DEK-Info";

const CIPHER: &str = "AES-256-CBC";

const IV: usize = 16;

/// Whether a block is encrypted in this form.
pub(super) fn is_sealed(block: &Pem) -> bool {
    block.headers().get(HOW).is_some()
}

/// Encrypts a private key.
pub(super) fn seal(key: &[u8], secret: &str) -> Result<Pem, String> {
    if secret.is_empty() {
        return Err("there is no secret to encrypt private keys with".into());
    }
    let failed = |_| "the private key cannot be encrypted".to_owned();
    let mut iv = [0; IV];
    aws_lc_rs::rand::fill(&mut iv).map_err(failed)?;
    let cipher = UnboundCipherKey::new(&AES_256, &derived(secret, &iv)).map_err(failed)?;
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(cipher).map_err(failed)?;
    let mut text = key.to_vec();
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    cipher
        .less_safe_encrypt(&mut text, context)
        .map_err(failed)?;
    let mut block = Pem::new(TAG, text);
    let headers = block.headers_mut();
    let added = headers
        .add("Proc-Type", "4,ENCRYPTED")
        .and_then(|()| headers.add(HOW, &format!("{CIPHER},{}", hex(&iv))));
    added.map_err(|error| error.to_string())?;
    Ok(block)
}

/// Decrypts a private key.
pub(super) fn open(block: &Pem, secret: &str) -> Result<Vec<u8>, String> {
    let how = block.headers().get(HOW).unwrap_or_default();
    let iv = how.split_once(',').and_then(|(cipher, iv)| {
        let is_known = cipher.trim().eq_ignore_ascii_case(CIPHER);
        unhex(iv.trim()).filter(|_| is_known)
    });
    let Some(iv) = iv else {
        return Err(format!(
            "the private key is encrypted as `{how}`, only {CIPHER} is implemented"
        ));
    };
    let failed = |_| {
        "the private key cannot be decrypted: was security.private_certificate_encoding_secret, \
         or the secret that stands in for it, another one when it was stored?"
            .to_owned()
    };
    let cipher = UnboundCipherKey::new(&AES_256, &derived(secret, &iv)).map_err(failed)?;
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(cipher).map_err(failed)?;
    let mut text = block.contents().to_vec();
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let opened = cipher.decrypt(&mut text, context).map_err(failed)?;
    Ok(opened.to_vec())
}

/// The key of the cipher; its salt is the first half of the initialisation vector.
fn derived(secret: &str, iv: &[u8; IV]) -> [u8; AES_256_KEY_LEN] {
    let mut key = [0; AES_256_KEY_LEN];
    let mut digest: Vec<u8> = Vec::new();
    for part in key.chunks_exact_mut(IV) {
        let mut hash = Md5::new();
        hash.update(&digest);
        hash.update(secret.as_bytes());
        hash.update(&iv[..8]);
        digest = hash.finalize().to_vec();
        part.copy_from_slice(&digest);
    }
    key
}

fn unhex(text: &str) -> Option<[u8; IV]> {
    let mut bytes = [0; IV];
    if text.len() != 2 * IV || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `openssl ec -aes256` makes of a key with the password `a secret`.
    const OF_OPENSSL: &str = "-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-256-CBC,5CB5B5AC9CC9E38A29A7CD4577BD8D5C

F12O3TbWaQpvlI5OKHDZmW/GInwDCm/L8f3OEh8mzAzxRjBR6I+HskqIAFMehvdq
dBkezp3h/PNdC0hqUgW7/QVV6CYYGX/3BNykM1o8quwebv0DW6QrGij8EEXfsGO0
BA7LASIc2g+5UWqAI44YRe6jrCT25x6hp3r41FUbdY0=
-----END EC PRIVATE KEY-----
";

    #[test]
    fn what_others_have_encrypted_is_opened() {
        let opened = open(&pem::parse(OF_OPENSSL).unwrap(), "a secret").unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(opened).unwrap();
        assert!(rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).is_ok());
        let other = OF_OPENSSL.replace("AES-256", "DES-EDE3");
        let said = open(&pem::parse(other).unwrap(), "a secret").unwrap_err();
        assert!(said.contains("DES-EDE3-CBC"), "{said}");
    }

    #[test]
    fn what_is_sealed_is_opened_with_the_same_secret_only() {
        for key in [&b""[..], b"short", &[7; 48], &[9; 2000]] {
            let sealed = seal(key, "a secret").unwrap();
            assert!(is_sealed(&sealed));
            let text = pem::encode(&sealed);
            assert!(text.contains("Proc-Type: 4,ENCRYPTED"), "{text}");
            let read = pem::parse(&text).unwrap();
            assert_eq!(open(&read, "a secret").unwrap(), key);
            let wrong = open(&read, "another secret");
            assert!(wrong.map_or(true, |opened| opened != key));
        }
        assert!(seal(b"key", "").is_err());
    }
}
