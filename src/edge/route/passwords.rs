//! Passwords, hashed with bcrypt.
//!
//! To verify one takes a processor for a tenth of a second on purpose, so it happens on threads of its own, two at a
//! time, and who waits too long a queue is told to come again: guessing passwords cannot take the edge down. A right one
//! is remembered for a minute, under a keyed digest, so that the pictures of a page cost nothing.

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bcrypt::HashParts;
use quick_cache::sync::Cache;
use ring::hmac;
use tokio::sync::Semaphore;

use crate::edge::request::entropy;

/// Verified at once.
const AT_ONCE: usize = 2;
/// Waiting for that, per route.
const WAITING: usize = 32;
/// How long a right password is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How many are.
const MEMORY: usize = 1024;
/// Dearest hash: 13 takes about half a second, and twice as long for each more.
const MAX_COST: u32 = 13;
/// bcrypt reads no more than 72 bytes of a password; nobody's name and password are this long.
const MAX_CREDENTIALS: usize = 1024;

/// A bcrypt hash such as `$2y$10$...`.
#[derive(Clone, PartialEq)]
pub struct PasswordHash {
    text: Box<str>,
    cost: u32,
}

impl FromStr for PasswordHash {
    type Err = String;
    fn from_str(text: &str) -> Result<PasswordHash, String> {
        // The text is not repeated: it may be a password by mistake.
        let parts = HashParts::from_str(text).map_err(
            |_| "is not a bcrypt hash such as `$2y$10$…`; hint: `htpasswd -nB NAME` prints one; quote it in YAML",
        )?;
        let cost = parts.get_cost();
        if cost > MAX_COST {
            return Err(format!("has cost {cost}; more than {MAX_COST} would hold up everybody"));
        }
        Ok(PasswordHash { text: text.into(), cost })
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

/// What became of a name and a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They belong together.
    Right,
    /// They do not, or are none.
    Wrong,
    /// Could not be found out now.
    Busy,
}

/// The names and passwords of one route.
pub struct Passwords {
    users: BTreeMap<String, PasswordHash>,
    /// Verified in place of the hash of a name that is not there, which must not show in the time it takes.
    decoy: Option<PasswordHash>,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    key: hmac::Key,
    /// Digests of right credentials, and when they were found to be.
    right: Cache<[u8; 32], Instant>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

impl Passwords {
    /// Knows these.
    pub fn new(users: &BTreeMap<String, PasswordHash>) -> Passwords {
        let mut key = [0; 32];
        key[..16].copy_from_slice(&entropy().to_be_bytes());
        key[16..].copy_from_slice(&entropy().to_be_bytes());
        Passwords {
            users: users.clone(),
            decoy: users.values().max_by_key(|hash| hash.cost).cloned(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: AtomicUsize::new(0),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            right: Cache::new(MEMORY),
        }
    }

    /// Verifies the value of `Authorization`.
    pub async fn verify(&self, authorization: &[u8]) -> Verdict {
        let Some((name, password)) = credentials(authorization) else { return Verdict::Wrong };
        let mut digest = [0; 32];
        digest.copy_from_slice(hmac::sign(&self.key, format!("{name}:{password}").as_bytes()).as_ref());
        if self.right.get(&digest).is_some_and(|since| since.elapsed() < REMEMBERED) {
            return Verdict::Right;
        }
        let known = self.users.get(&name);
        let Some(hash) = known.or(self.decoy.as_ref()).cloned() else { return Verdict::Wrong };
        let is_known = known.is_some();
        let Some(_place) = Place::take(&self.waiting) else { return Verdict::Busy };
        let Ok(turn) = self.turns.clone().acquire_owned().await else { return Verdict::Busy };
        // The turn ends when the work does, not when a client that has left stops waiting for it.
        let verified = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            bcrypt::verify(password, &hash.text).unwrap_or(false)
        });
        match verified.await {
            Ok(true) if is_known => {
                self.right.insert(digest, Instant::now());
                Verdict::Right
            }
            Ok(_) => Verdict::Wrong,
            Err(_) => Verdict::Busy,
        }
    }
}

/// A place among those who wait.
struct Place<'a>(&'a AtomicUsize);

impl Place<'_> {
    fn take(waiting: &AtomicUsize) -> Option<Place<'_>> {
        // Given back when this is dropped, also if there were too many.
        let place = Place(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < WAITING).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Name and password of `Basic` (RFC 7617).
fn credentials(authorization: &[u8]) -> Option<(String, String)> {
    if authorization.len() > MAX_CREDENTIALS {
        return None;
    }
    let (scheme, encoded) = std::str::from_utf8(authorization).ok()?.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        let hash = |password: &str| bcrypt::hash(password, 4).unwrap().parse().unwrap();
        Passwords::new(&BTreeMap::from([("alice".to_owned(), hash("pass:word")), ("bob".to_owned(), hash("\u{e4}"))]))
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(text))
    }

    #[tokio::test]
    async fn name_and_password_belong_together() {
        let passwords = passwords();
        for (sent, expected) in [
            (basic("alice:pass:word"), Verdict::Right),
            (basic("alice:pass:word").replace("Basic", "bAsIc "), Verdict::Right),
            (basic("bob:\u{e4}"), Verdict::Right),
            (basic("bob:pass:word"), Verdict::Wrong),
            (basic("carol:pass:word"), Verdict::Wrong),
            (basic("alice:"), Verdict::Wrong),
            (basic("alice:pass:word\0"), Verdict::Wrong),
            (basic("alice"), Verdict::Wrong),
            ("Basic !".into(), Verdict::Wrong),
            ("Bearer x".into(), Verdict::Wrong),
            (String::new(), Verdict::Wrong),
            (basic(&format!("alice:{}", "x".repeat(2000))), Verdict::Wrong),
        ] {
            assert_eq!(passwords.verify(sent.as_bytes()).await, expected, "{sent}");
        }
        assert_eq!(passwords.right.len(), 2, "only what was right is remembered");
    }

    #[tokio::test]
    async fn guessing_is_held_up_and_those_who_are_known_are_not() {
        let passwords = passwords();
        assert_eq!(passwords.verify(basic("alice:pass:word").as_bytes()).await, Verdict::Right);
        let held = passwords.turns.clone().acquire_many_owned(AT_ONCE as u32).await.unwrap();
        let guess = basic("alice:guess");
        let mut guesses: Vec<_> = (0..WAITING).map(|_| Box::pin(passwords.verify(guess.as_bytes()))).collect();
        for guess in &mut guesses {
            assert!(tokio::time::timeout(Duration::from_millis(1), guess).await.is_err());
        }
        assert_eq!(passwords.verify(guess.as_bytes()).await, Verdict::Busy);
        assert_eq!(passwords.verify(basic("alice:pass:word").as_bytes()).await, Verdict::Right);
        drop(guesses);
        drop(held);
        assert_eq!(passwords.verify(guess.as_bytes()).await, Verdict::Wrong);
    }

    #[test]
    fn hashes_are_checked_and_not_repeated() {
        let wrong = |text: &str| text.parse::<PasswordHash>().unwrap_err();
        assert!(wrong("secret").contains("htpasswd") && !wrong("secret").contains("`secret`"));
        let dear = bcrypt::hash("x", 4).unwrap().replacen("$04$", "$14$", 1);
        assert!(wrong(&dear).contains("cost 14"));
        assert!(dear.replacen("$14$", "$13$", 1).replacen("$2b$", "$2y$", 1).parse::<PasswordHash>().is_ok());
    }
}
