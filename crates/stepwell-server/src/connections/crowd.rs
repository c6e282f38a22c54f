//! All connections of a server: who gets a seat, and who loses one.

use super::ConnectionLimits;
use super::seat::{Seat, Seated, Wait};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Seats that are taken back at once, so that not every connection beyond the limit looks at all others.
const ROOM: usize = 64;
/// A new connection that has not made a request for so long goes before all others.
const HESITATION_MS: u64 = 1_000;

/// All connections of a server.
#[derive(Debug)]
pub(super) struct Crowd {
    limits: ConnectionLimits,
    epoch: Instant,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    taken: HashMap<u64, (IpAddr, Arc<Seat>)>,
    next: u64,
    /// Since they were last told of.
    cut: usize,
    refused: usize,
    /// Since the start, without those since they were last told of.
    cut_before: u64,
    refused_before: u64,
}

/// How many connections there are, and how many there were too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Crowding {
    pub(crate) open: usize,
    /// Slow ones that were closed to make room, since the start.
    pub(crate) cut: u64,
    /// New ones that were refused, since the start.
    pub(crate) refused: u64,
}

/// The other connections, as a request may look at them.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings(Arc<Crowd>);

impl Surroundings {
    pub(super) fn of(crowd: &Arc<Crowd>) -> Self {
        Self(Arc::clone(crowd))
    }

    pub(crate) fn crowding(&self) -> Crowding {
        let seats = self.0.seats();
        Crowding {
            open: seats.taken.len(),
            cut: seats.cut_before + seats.cut as u64,
            refused: seats.refused_before + seats.refused as u64,
        }
    }
}

impl Crowd {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self {
            limits,
            epoch: Instant::now(),
            seats: Mutex::default(),
        }
    }

    fn seats(&self) -> std::sync::MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A seat for a connection; none when all are taken by connections that are being answered.
    pub(super) fn admit<S>(self: &Arc<Self>, stream: S, address: IpAddr) -> Option<Seated<S>> {
        let mut seats = self.seats();
        if seats.taken.len() >= self.limits.connections_max {
            let room = (self.limits.connections_max / ROOM).clamp(1, ROOM);
            seats.take_back(room, self.now_ms());
        }
        if seats.taken.len() >= self.limits.connections_max {
            seats.refused += 1;
            return None;
        }
        let number = seats.next;
        seats.next += 1;
        let seat = Arc::new(Seat::new(self.epoch));
        let entry = (neighbourhood(address), Arc::clone(&seat));
        seats.taken.insert(number, entry);
        drop(seats);
        Some(Seated::new(stream, seat, number, Arc::clone(self)))
    }

    pub(super) fn leave(&self, number: u64) {
        self.seats().taken.remove(&number);
    }

    /// Takes some seats back though there may be free ones.
    pub(super) fn make_room(&self) {
        self.seats().take_back(ROOM, self.now_ms());
    }

    /// Ends the connections that have kept the server waiting for too long.
    pub(super) fn sweep(&self) {
        let mut seats = self.seats();
        let now = self.now_ms();
        for (_, seat) in seats.taken.values() {
            let waits = seat.waits();
            if waits.is_some_and(|(wait, since)| now.saturating_sub(since) > self.patience(wait)) {
                seat.end();
            }
        }
        let (cut, refused) = (
            std::mem::take(&mut seats.cut),
            std::mem::take(&mut seats.refused),
        );
        seats.cut_before += cut as u64;
        seats.refused_before += refused as u64;
        let taken = seats.taken.len();
        drop(seats);
        if cut + refused > 0 {
            tracing::warn!(
                connections = taken,
                closed = cut,
                refused,
                "too many connections: slow ones are closed"
            );
        }
    }

    /// In milliseconds.
    fn patience(&self, wait: Wait) -> u64 {
        let patience: Duration = match wait {
            Wait::Greeting | Wait::Head => self.limits.head,
            Wait::Body => self.limits.body,
            Wait::Reader => self.limits.write,
            Wait::Next => self.limits.idle,
        };
        u64::try_from(patience.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Seats {
    /// Takes back up to `room` seats of the neighbourhood that has the most among those that keep the server waiting:
    /// first of connections that hesitate to make their first request, then of the others; the longest wait first.
    fn take_back(&mut self, room: usize, now_ms: u64) {
        let mut heads: HashMap<IpAddr, usize> = HashMap::new();
        for (address, _) in self.taken.values() {
            *heads.entry(*address).or_default() += 1;
        }
        let waits = |(number, (address, seat)): (&u64, &(IpAddr, Arc<Seat>))| {
            let (_, since) = seat.waits()?;
            Some((heads[address], seat.is_proven(), since, *number))
        };
        let waiting: Vec<_> = self.taken.iter().filter_map(waits).collect();
        // While the new ones have half of the seats, each has the time that it takes to fill them.
        let new = waiting.iter().filter(|(_, proven, ..)| !proven).count();
        let new_are_many = 2 * new >= waiting.len();
        let mut waiting: Vec<_> = waiting
            .into_iter()
            .map(|(heads, proven, since, number)| {
                let late = now_ms.saturating_sub(since) >= HESITATION_MS;
                let hesitates = !proven && (new_are_many || late);
                (Reverse(heads), !hesitates, since, number)
            })
            .collect();
        waiting.sort_unstable();
        for (_, _, _, number) in waiting.into_iter().take(room) {
            if let Some((_, seat)) = self.taken.remove(&number) {
                seat.end();
                self.cut += 1;
            }
        }
    }
}

/// Whose share a connection is of: the address, or the network of which one customer has all addresses.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
