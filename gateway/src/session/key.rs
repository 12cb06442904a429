//! What a session is stored under: its id, or a hash of it.

use std::borrow::Cow;

use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde::Deserialize;

use crate::storage::{MAX_KEY, keys};

/// How ids are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashFunction {
    /// 32 bits of murmur3.
    #[default]
    Murmur32,
    /// The first half of the 128 bits.
    Murmur64,
    /// 128 bits of murmur3, its variant for 64-bit machines.
    Murmur128,
    /// SHA-256
    Sha256,
}

/// How this gateway names sessions.
#[derive(Debug, Clone, Copy)]
pub struct KeyNames {
    /// Ids are stored as hashes.
    pub hashed: bool,
    /// The configured function; without one, ids have their older form.
    pub function: Option<HashFunction>,
}

/// Begins the name of an id that no store takes as it is.
const LONG_ID: &str = "sha256:";

/// What is in an id of the newer form.
#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    org: String,
    h: String,
}

// === impl HashFunction ===

impl HashFunction {
    /// The functions by their names in the configuration.
    pub const ALL: [(&'static str, Self); 4] = [
        ("murmur32", Self::Murmur32),
        ("murmur64", Self::Murmur64),
        ("murmur128", Self::Murmur128),
        ("sha256", Self::Sha256),
    ];

    /// The function of this name.
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, function)| function)
    }

    fn name(self) -> &'static str {
        let found = Self::ALL
            .into_iter()
            .find(|(_, function)| *function == self);
        found.map_or("", |(name, _)| name)
    }

    /// The hash of `text` in lower-case hex.
    pub fn hex(self, text: &str) -> String {
        let mut input = text.as_bytes();
        let infallible = "a slice can be read";
        match self {
            Self::Murmur32 => {
                let hash = murmur3::murmur3_32(&mut input, 0).expect(infallible);
                format!("{hash:08x}")
            }
            Self::Murmur64 | Self::Murmur128 => {
                let hash = murmur3::murmur3_x64_128(&mut input, 0).expect(infallible);
                // The first 64 bits are the lower half of the number.
                let halves = hash.rotate_left(64);
                let hex = format!("{halves:032x}");
                let length = if self == Self::Murmur64 { 16 } else { 32 };
                hex[..length].to_owned()
            }
            Self::Sha256 => hex(digest::digest(&digest::SHA256, input).as_ref()),
        }
    }
}

// === impl KeyNames ===

impl KeyNames {
    /// The name in the store of the session with this id.
    pub fn of_id(&self, id: &str) -> String {
        if self.hashed {
            self.of_hash(&self.function_of(id).hex(id))
        } else if is_too_long(id) {
            self.of_hash(&format!("{LONG_ID}{}", HashFunction::Sha256.hex(id)))
        } else {
            self.of_hash(id)
        }
    }

    /// The name in the store of what is there under this hash, or under this id where ids
    /// are not hashed.
    pub fn of_hash(&self, hash: &str) -> String {
        [keys::SESSION, hash].concat()
    }

    /// What tells the owner of a session from others with the same name; nothing where the
    /// name alone does.
    pub fn fingerprint(&self, id: &str) -> Option<String> {
        let is_ambiguous = if self.hashed {
            self.function_of(id) != HashFunction::Sha256
        } else {
            is_too_long(id)
        };
        is_ambiguous.then(|| HashFunction::Sha256.hex(id))
    }

    /// The id of a session of an organisation, as the original makes it.
    pub fn generate(&self, org_id: &str, name: &str) -> String {
        match self.function {
            None => format!("{org_id}{name}"),
            Some(function) => {
                let quoted = |text: &str| serde_json::to_string(text).expect("text is JSON");
                let (org, id, h) = (quoted(org_id), quoted(name), function.name());
                STANDARD.encode(format!("{{\"org\":{org},\"id\":{id},\"h\":\"{h}\"}}"))
            }
        }
    }

    /// The id of a key that was given this name: the same, whether or not the name has the
    /// organisation before it.
    pub fn of_named_key(&self, org_id: &str, name: &str) -> String {
        self.generate(org_id, name.strip_prefix(org_id).unwrap_or(name))
    }

    /// How the ids of an organisation begin, where they have the newer form.
    pub fn begin_of_organisation(&self, org_id: &str) -> Option<String> {
        self.function.filter(|_| !org_id.is_empty())?;
        let org = serde_json::to_string(org_id).expect("text is JSON");
        let begin = STANDARD.encode(format!("{{\"org\":{org},"));
        // The last letters depend on what follows.
        let whole = begin.trim_end_matches('=').len() / 4 * 4;
        Some(begin[..whole.saturating_sub(4)].to_owned())
    }

    /// The ids that a session may have whose caller sent `key`, in the order in which they
    /// count: a name is one of the organisation's before it is an id.
    pub fn ids_of_key<'k>(&self, org_id: &str, key: &'k str) -> [Option<Cow<'k, str>>; 2] {
        let is_whole = match self.function {
            None => key.starts_with(org_id),
            Some(_) => token_of(key).is_some_and(|token| token.org == org_id),
        };
        let named = (!is_whole).then(|| Cow::Owned(self.of_named_key(org_id, key)));
        [named, Some(Cow::Borrowed(key))]
    }

    /// An id of the newer form says itself how it is hashed, so that ids made before a
    /// change of the configuration are still found.
    fn function_of(&self, id: &str) -> HashFunction {
        let own = token_of(id).and_then(|token| HashFunction::named(&token.h));
        own.or(self.function).unwrap_or_default()
    }
}

/// What is in an id of the newer form.
fn token_of(id: &str) -> Option<Token> {
    // All of them begin like this: it is `{"` in base64.
    let json = id.starts_with("ey").then(|| STANDARD.decode(id).ok())??;
    serde_json::from_slice(&json).ok()
}

fn is_too_long(id: &str) -> bool {
    keys::SESSION.len() + id.len() > MAX_KEY
}

/// A new name of a key: 128 bits that nobody can guess, in lower-case hex.
pub fn new_name() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system has random numbers");
    hex(&bytes)
}

/// MD5 in lower-case hex: the id of an extracted value, not a secret.
pub fn md5_hex(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

/// Lower-case hex. By table, because an id is made for every request that has an extractor.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    let mut text = String::with_capacity(bytes.len() * 2);
    text.extend(digits);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first three functions against the vectors of `github.com/spaolacci/murmur3`.
    #[test]
    fn hashes_are_those_of_the_original() {
        for (text, short, first, second) in [
            ("", 0, 0, 0),
            (
                "hello",
                0x248b_fa47,
                0xcbd8_a7b3_41bd_9b02,
                0x5b1e_906a_48ae_1d19,
            ),
            (
                "hello, world",
                0x149b_bb7f,
                0x342f_ac62_3a5e_bc8e,
                0x4cdc_bc07_9642_414d,
            ),
            (
                "19 Jan 2038 at 3:14:07 AM",
                0xe31e_8a70,
                0xb89e_5988_b737_affc,
                0x664f_c295_0231_b2cb,
            ),
            (
                "The quick brown fox jumps over the lazy dog.",
                0xd5c4_8bfc_u32,
                0xcd99_481f_9ee9_02c9_u64,
                0x695d_a1a3_8987_b6e7_u64,
            ),
        ] {
            assert_eq!(
                HashFunction::Murmur32.hex(text),
                format!("{short:08x}"),
                "{text:?}"
            );
            assert_eq!(
                HashFunction::Murmur64.hex(text),
                format!("{first:016x}"),
                "{text:?}"
            );
            assert_eq!(
                HashFunction::Murmur128.hex(text),
                format!("{first:016x}{second:016x}"),
                "{text:?}"
            );
        }
        assert_eq!(
            HashFunction::Sha256.hex("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn ids_have_the_form_that_the_hash_function_asks_for() {
        let names = |function| KeyNames {
            hashed: false,
            function,
        };
        let id = md5_hex(b"abc");
        assert_eq!(id, "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(names(None).generate("org", &id), format!("org{id}"));
        let newer = names(Some(HashFunction::Murmur64)).generate("org", "x");
        assert_eq!(
            STANDARD.decode(newer).unwrap(),
            br#"{"org":"org","id":"x","h":"murmur64"}"#
        );
    }

    #[test]
    fn a_key_is_a_name_in_its_organisation_before_it_is_an_id() {
        let ids = |function, org: &str, key: &str| {
            let names = KeyNames {
                hashed: false,
                function,
            };
            let ids = names.ids_of_key(org, key);
            let ids: Vec<_> = ids.into_iter().flatten().map(String::from).collect();
            ids
        };
        assert_eq!(ids(None, "org", "mine"), ["orgmine", "mine"]);
        assert_eq!(ids(None, "org", "orgmine"), ["orgmine"]);
        assert_eq!(ids(None, "", "mine"), ["mine"]);
        let function = Some(HashFunction::Sha256);
        let named = ids(function, "org", "mine");
        assert_eq!(
            STANDARD.decode(&named[0]).unwrap(),
            br#"{"org":"org","id":"mine","h":"sha256"}"#
        );
        assert_eq!(named[1], "mine");
        assert_eq!(ids(function, "org", &named[0]), [named[0].clone()]);
        assert_eq!(ids(function, "other", &named[0]).len(), 2);
        assert_eq!(ids(function, "org", "orgmine")[0], named[0]);
    }

    #[test]
    fn an_id_that_names_its_hash_function_is_found_after_a_change() {
        let hashing = |function| KeyNames {
            hashed: true,
            function,
        };
        let id = hashing(Some(HashFunction::Sha256)).generate("org", "x");
        let name = format!("apikey-{}", HashFunction::Sha256.hex(&id));
        assert_eq!(hashing(Some(HashFunction::Murmur64)).of_id(&id), name);
        assert_eq!(hashing(None).of_id("hello"), "apikey-248bfa47");
        assert_eq!(
            hashing(Some(HashFunction::Murmur64)).of_id("hello"),
            "apikey-cbd8a7b341bd9b02"
        );
    }

    #[test]
    fn an_id_that_no_store_takes_is_named_by_its_hash() {
        let names = KeyNames {
            hashed: false,
            function: None,
        };
        let longest = "a".repeat(MAX_KEY - keys::SESSION.len());
        assert_eq!(names.of_id(&longest), format!("apikey-{longest}"));
        assert_eq!(names.fingerprint(&longest), None);
        let longer = format!("{longest}a");
        let hash = HashFunction::Sha256.hex(&longer);
        assert_eq!(names.of_id(&longer), format!("apikey-sha256:{hash}"));
        assert_eq!(names.fingerprint(&longer), Some(hash));
    }
}
