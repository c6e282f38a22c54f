//! How many may introduce themselves at once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Connections that have not yet introduced themselves. Each may hold a frame of [`super::FRAME_BYTES_MAX`] for the
/// seconds that it gets, and nobody knows yet whether it may be here at all.
const HANDSHAKES_MAX: usize = 64;
/// And those of one peer, so that a few that say nothing do not keep out all others. A proxy's workers come one after
/// another: each takes milliseconds.
const PEER_HANDSHAKES_MAX: usize = 16;
/// How long one waits for its turn: a little longer than those before it that say nothing have, and are let go.
const WAIT_MAX: Duration = Duration::from_secs(8);

/// Lets connections introduce themselves, some at a time.
pub(super) struct Admission {
    all: Arc<Semaphore>,
    /// Dead once nobody of the peer is here or waits.
    peers: Mutex<HashMap<IpAddr, Weak<Semaphore>>>,
}

/// The turn of one that introduces itself.
#[derive(Debug)]
pub(super) struct Turn {
    _of_all: OwnedSemaphorePermit,
    _of_peer: Option<OwnedSemaphorePermit>,
}

impl Admission {
    pub(super) fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            peers: Mutex::default(),
        }
    }

    /// Waits for a turn; nothing if too many are before this one. A peer that is not known has no limit of its own.
    pub(super) async fn turn(&self, peer: Option<IpAddr>) -> Option<Turn> {
        let turn = async {
            // The peer's own line comes first: whoever waits there takes no place in the common one.
            let of_peer = match peer {
                Some(peer) => Some(acquire(self.of(peer)).await),
                None => None,
            };
            Turn {
                _of_all: acquire(Arc::clone(&self.all)).await,
                _of_peer: of_peer,
            }
        };
        timeout(WAIT_MAX, turn).await.ok()
    }

    fn of(&self, peer: IpAddr) -> Arc<Semaphore> {
        let peer = network(peer);
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = peers.get(&peer).and_then(Weak::upgrade) {
            return known;
        }
        peers.retain(|_, known| known.strong_count() > 0);
        let new = Arc::new(Semaphore::new(PEER_HANDSHAKES_MAX));
        peers.insert(peer, Arc::downgrade(&new));
        new
    }
}

async fn acquire(semaphore: Arc<Semaphore>) -> OwnedSemaphorePermit {
    let permit = semaphore.acquire_owned().await;
    permit.expect("the semaphore is never closed")
}

/// What counts as one peer: of IPv6, everyone has at least a /64 (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn one_peer_does_not_take_all_turns() {
        let admission = Admission::new();
        let mut turns = Vec::new();
        for index in 0..PEER_HANDSHAKES_MAX {
            let peer = address(&format!("2001:db8::{index:x}"));
            turns.push(admission.turn(peer).await.expect("there is room"));
        }
        assert!(admission.turn(address("2001:db8::ffff")).await.is_none());
        assert!(admission.turn(address("2001:db8:0:1::")).await.is_some());
        assert!(admission.turn(address("192.0.2.1")).await.is_some());
        let (next, ()) = tokio::join!(admission.turn(address("2001:db8::ffff")), async {
            tokio::task::yield_now().await;
            turns.pop();
        });
        assert!(next.is_some(), "it has waited for a turn");
        turns.clear();
        drop(next);
        admission.turn(None).await.expect("there is room");
        drop(admission.of("192.0.2.2".parse().unwrap()));
        assert_eq!(
            admission.peers.lock().unwrap().len(),
            1,
            "those who are gone are forgotten"
        );
    }
}
