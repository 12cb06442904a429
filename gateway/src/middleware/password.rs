//! Compares passwords with what is stored of them.
//!
//! A slow hash is checked on another thread, a few at a time: the data plane has nothing to
//! spare for it. That a password was right is remembered for a while, under a hash with a key
//! of this process.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use coprocess_core::BasicAuthData;
use moka::sync::Cache;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tracing::warn;

use crate::session::key::HashFunction;

/// Most passwords that are remembered to be right, by one API.
const MOST_REMEMBERED: u64 = 10_000;

/// How many slow hashes are checked at the same time, and how many callers may wait for it.
static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new(cores))
});
static QUEUE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(512)));

/// Checks passwords.
pub(super) struct Passwords {
    remembered: Option<Cache<[u8; 32], ()>>,
    key: hmac::Key,
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    Right,
    Wrong,
    /// Too many callers wait already.
    Busy,
}

impl Passwords {
    /// `remember_for` is how long a right password is not checked again; zero is each time.
    pub(super) fn new(remember_for: Duration) -> Result<Self, String> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let remembered = (!remember_for.is_zero()).then(|| {
            Cache::builder()
                .max_capacity(MOST_REMEMBERED)
                .time_to_live(remember_for)
                .build()
        });
        Ok(Self {
            remembered,
            key: key.map_err(|_| "this machine gives no random numbers".to_owned())?,
        })
    }

    /// Whether `password` is the one of which `stored` is kept. Nothing stored is never right.
    pub(super) async fn check(&self, stored: &BasicAuthData, password: &str) -> Checked {
        let kept = stored.password.as_bytes();
        let is_right = match stored.hash.as_str() {
            _ if kept.is_empty() => false,
            "" => kept.ct_eq(password.as_bytes()).into(),
            "bcrypt" => return self.check_slowly(&stored.password, password).await,
            name => match HashFunction::named(name.strip_prefix("murmur3-").unwrap_or(name)) {
                Some(function) => {
                    let hash = function.hex(password);
                    let kept = stored.password.to_ascii_lowercase();
                    kept.as_bytes().ct_eq(hash.as_bytes()).into()
                }
                None => {
                    warn!(
                        hash_type = name,
                        "Password is refused: its hash_type is unknown."
                    );
                    false
                }
            },
        };
        if is_right {
            Checked::Right
        } else {
            Checked::Wrong
        }
    }

    async fn check_slowly(&self, hash: &str, password: &str) -> Checked {
        let name = self.name(hash, password);
        if self
            .remembered
            .as_ref()
            .is_some_and(|all| all.contains_key(&name))
        {
            return Checked::Right;
        }
        let Ok(queued) = Arc::clone(&QUEUE).try_acquire_owned() else {
            return Checked::Busy;
        };
        let Ok(room) = Arc::clone(&ROOM).acquire_owned().await else {
            return Checked::Busy;
        };
        // Somebody else may have come with the same one in the meantime.
        if self
            .remembered
            .as_ref()
            .is_some_and(|all| all.contains_key(&name))
        {
            return Checked::Right;
        }
        let (hash, password) = (hash.to_owned(), password.to_owned());
        let checking = tokio::task::spawn_blocking(move || {
            // Kept by the work, which goes on although its caller has gone.
            let _places = (queued, room);
            bcrypt::verify(password, &hash)
        });
        match checking.await {
            Ok(Ok(true)) => {
                if let Some(all) = &self.remembered {
                    all.insert(name, ());
                }
                Checked::Right
            }
            Ok(Ok(false)) => Checked::Wrong,
            Ok(Err(error)) => {
                warn!(%error, "Password is refused: what is stored of it is no bcrypt hash.");
                Checked::Wrong
            }
            Err(_) => Checked::Busy,
        }
    }

    /// What a hash and a password are remembered under: neither can be read from it.
    fn name(&self, hash: &str, password: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(hash.as_bytes());
        context.update(&[0]);
        context.update(password.as_bytes());
        let mut name = [0; 32];
        name.copy_from_slice(context.sign().as_ref());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(passwords: &Passwords, hash: &str, stored: &str, password: &str) -> Checked {
        let stored = BasicAuthData {
            password: stored.to_owned(),
            hash: hash.to_owned(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(passwords.check(&stored, password))
    }

    #[test]
    fn passwords_are_compared_by_their_hash_type() {
        let passwords = Passwords::new(Duration::from_secs(60)).unwrap();
        let bcrypt = bcrypt::hash("secret", 4).unwrap();
        let sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        for (hash, stored) in [
            ("", "secret"),
            ("bcrypt", &*bcrypt),
            ("sha256", sha256),
            ("sha256", &sha256.to_uppercase()),
            ("murmur32", &HashFunction::Murmur32.hex("secret")),
            ("murmur64", &HashFunction::Murmur64.hex("secret")),
            ("murmur128", &HashFunction::Murmur128.hex("secret")),
        ] {
            for _ in 0..2 {
                assert_eq!(
                    check(&passwords, hash, stored, "secret"),
                    Checked::Right,
                    "{hash}"
                );
            }
            for wrong in ["", "secre", "secret ", "Secret", stored] {
                if wrong != "secret" {
                    assert_eq!(
                        check(&passwords, hash, stored, wrong),
                        Checked::Wrong,
                        "{hash}"
                    );
                }
            }
        }
        for (hash, stored, password) in [
            ("", "", ""),
            ("bcrypt", "", ""),
            ("bcrypt", "secret", "secret"),
            ("sha256", "", ""),
            ("rot13", "frperg", "secret"),
        ] {
            assert_eq!(
                check(&passwords, hash, stored, password),
                Checked::Wrong,
                "{hash}"
            );
        }
    }

    #[test]
    fn only_right_passwords_are_remembered_and_only_for_their_hash() {
        let passwords = Passwords::new(Duration::from_secs(60)).unwrap();
        let (one, two) = (
            bcrypt::hash("one", 4).unwrap(),
            bcrypt::hash("two", 4).unwrap(),
        );
        assert_eq!(check(&passwords, "bcrypt", &one, "one"), Checked::Right);
        assert_eq!(check(&passwords, "bcrypt", &two, "one"), Checked::Wrong);
        let all = passwords.remembered.as_ref().unwrap();
        all.run_pending_tasks();
        assert_eq!(all.entry_count(), 1);
        assert!(Passwords::new(Duration::ZERO).unwrap().remembered.is_none());
    }
}
