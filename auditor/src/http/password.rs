//! Who may come in: names and passwords, held against bcrypt hashes. The only user of bcrypt.
//!
//! A hash takes a twentieth of a second or more, on purpose. So one is computed at a time, on another thread, strangers
//! get a quarter of that thread's time, each network address a few places in a bounded queue, and who was let in once
//! is known again without one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

/// Each step doubles the time of a check; 14 is about a second.
const MAX_COST: u32 = 14;
/// What the format allows.
const MIN_COST: u32 = 4;
/// The part of a bcrypt hash behind its cost: some hash, of which nobody is told whether it is matched.
const NOBODY: &str = "QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
/// Checks that may wait.
const MAX_WAITING: usize = 64;
/// Checks of one network address that may wait.
const MAX_WAITING_FROM_ONE: usize = 4;
/// Longest wait for one's turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a password that is wrong nobody's is checked for this many times as long as that took.
const REST: u32 = 3;
/// Names and passwords that are known to be right.
const MAX_KNOWN: usize = 256;

/// Whether a text is a hash that can be checked here, and else what is wrong with it.
pub(super) fn check_hash(hash: &str) -> Result<u32, String> {
    let parts: Vec<&str> = hash.split('$').collect();
    let ["", version, cost, rest] = parts[..] else {
        return Err("is no bcrypt hash; make one with: htpasswd -nBC 10 ''".to_owned());
    };
    if !matches!(version, "2a" | "2b" | "2y") {
        return Err(format!("is hashed by {version:?}; there are bcrypt's 2a, 2b and 2y"));
    }
    let cost = Some(cost).filter(|cost| cost.len() == 2).and_then(|cost| cost.parse().ok());
    let Some(cost) = cost.filter(|cost| (MIN_COST..=31).contains(cost)) else {
        return Err("has a hash whose cost is none; bcrypt's go from 04 to 31".to_owned());
    };
    let decodes = |part: Option<&str>| part.is_some_and(|part| bcrypt::BASE_64.decode(part).is_ok());
    if rest.len() != 53 || !decodes(rest.get(..22)) || !decodes(rest.get(22..)) {
        return Err("has a hash that is cut off or garbled".to_owned());
    }
    if cost > MAX_COST {
        return Err(format!("has a hash of cost {cost}, which takes too long to check; {MAX_COST} is the most here"));
    }
    Ok(cost)
}

/// The users of one web configuration.
#[derive(Debug, Default)]
pub(super) struct Users {
    hashes: BTreeMap<String, String>,
    /// As slow as the slowest: who is unknown cannot be told by the time.
    nobody: String,
}

impl Users {
    pub(super) fn new(hashes: BTreeMap<String, String>) -> Self {
        let cost = hashes.values().filter_map(|hash| check_hash(hash).ok()).max().unwrap_or(10);
        Self { hashes, nobody: format!("$2y${cost:02}${NOBODY}") }
    }

    /// Whether nobody is asked for a password.
    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is let in.
    In,
    /// It is not.
    Refused,
    /// Too many others wait.
    Busy,
}

/// Checks passwords, within bounds.
#[derive(Debug)]
pub(super) struct Doorkeeper {
    turn: Arc<Semaphore>,
    waiting: Mutex<HashMap<IpAddr, usize>>,
    known: Mutex<VecDeque<[u8; 32]>>,
    secret: [u8; 32],
}

impl Doorkeeper {
    /// `secret`: of this process alone, so that what is remembered of passwords is of no use elsewhere.
    pub(super) fn new(secret: [u8; 32]) -> Arc<Self> {
        Arc::new(Self { turn: Arc::new(Semaphore::new(1)), waiting: Mutex::default(), known: Mutex::default(), secret })
    }

    /// Looks at what a request says in `Authorization`.
    pub(super) async fn admit(self: &Arc<Self>, users: &Users, from: IpAddr, said: Option<&HeaderValue>) -> Verdict {
        let Some((name, password)) = said.and_then(credentials) else { return Verdict::Refused };
        let (hash, is_user) = match users.hashes.get(&name) {
            Some(hash) => (hash.clone(), true),
            None => (users.nobody.clone(), false),
        };
        let mark = self.mark(&name, &hash, &password);
        if is_user && lock(&self.known).contains(&mark) {
            return Verdict::In;
        }
        let Some(place) = Place::take(self, from) else { return Verdict::Busy };
        let Ok(Ok(turn)) = timeout(PATIENCE, Arc::clone(&self.turn).acquire_owned()).await else {
            return Verdict::Busy;
        };
        drop(place);
        let (sender, answer) = oneshot::channel();
        let keeper = Arc::clone(self);
        // A task of its own: a client that goes away meanwhile saves nobody the rest.
        tokio::spawn(async move {
            let began = Instant::now();
            let checked = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false));
            let right = checked.await.unwrap_or(false) && is_user;
            if right {
                let mut known = lock(&keeper.known);
                known.push_back(mark);
                if known.len() > MAX_KNOWN {
                    known.pop_front();
                }
            }
            let took = began.elapsed();
            // Who asked may be gone.
            let _ = sender.send(right);
            if !right {
                sleep(took * REST).await;
            }
            drop(turn);
        });
        match answer.await {
            Ok(true) => Verdict::In,
            Ok(false) | Err(_) => Verdict::Refused,
        }
    }

    /// Stands for a name, its hash and a password; says nothing about any of them.
    fn mark(&self, name: &str, hash: &str, password: &[u8]) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.secret);
        for part in [name.as_bytes(), hash.as_bytes(), password] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().into()
    }
}

/// `Basic` and, in base 64, a name, a colon and a password.
pub(super) fn credentials(header: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let (scheme, text) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = STANDARD.decode(text).ok()?;
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(&bytes[..colon]).ok()?.to_owned();
    Some((name, bytes[colon + 1..].to_vec()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in the queue.
struct Place<'keeper> {
    keeper: &'keeper Doorkeeper,
    network: IpAddr,
}

impl<'keeper> Place<'keeper> {
    fn take(keeper: &'keeper Doorkeeper, from: IpAddr) -> Option<Self> {
        let network = network(from);
        let mut waiting = lock(&keeper.waiting);
        if waiting.values().sum::<usize>() >= MAX_WAITING
            || waiting.get(&network).is_some_and(|count| *count >= MAX_WAITING_FROM_ONE)
        {
            return None;
        }
        *waiting.entry(network).or_default() += 1;
        Some(Self { keeper, network })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.keeper.waiting);
        if let Some(count) = waiting.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.network);
            }
        }
    }
}

/// One customer has as many IPv6 addresses as there are in such a network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests;
