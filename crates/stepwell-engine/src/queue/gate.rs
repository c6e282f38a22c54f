//! Gates: counters of calls in flight, and the lanes that wait at them.

use super::{LaneKey, Rank};
use hashbrown::HashMap;
use std::collections::BTreeSet;

/// How many waiting lanes are asked whether their limit lets them through. Lanes of several functions, each with a
/// limit of its own, wait at one gate only when they share an environment-wide value.
const ASKED_MAX: usize = 16;

#[derive(Debug, Default)]
struct Gate {
    inside: u32,
    waiting: BTreeSet<(Rank, LaneKey)>,
}

/// Gates that have someone inside or waiting.
#[derive(Debug, Default)]
pub(super) struct Gates {
    gates: HashMap<u128, Gate>,
}

impl Gates {
    /// The first of these gates that lets no one more through.
    pub(super) fn first_shut<'g>(
        &self,
        mut gates: impl Iterator<Item = &'g (u64, u128)>,
        limit: impl Fn(u64) -> Option<u32>,
    ) -> Option<u128> {
        let shut = gates.find(|(definition, gate)| {
            limit(*definition)
                .is_some_and(|limit| self.gates.get(gate).map_or(0, |gate| gate.inside) >= limit)
        });
        shut.map(|(_, gate)| *gate)
    }

    pub(super) fn enter(&mut self, gates: &[u128]) {
        for gate in gates {
            self.gates.entry(*gate).or_default().inside += 1;
        }
    }

    pub(super) fn leave(&mut self, gate: u128) {
        if let Some(entry) = self.gates.get_mut(&gate) {
            entry.inside = entry.inside.saturating_sub(1);
            self.drop_if_unused(gate);
        }
    }

    pub(super) fn park(&mut self, gate: u128, rank: Rank, lane: LaneKey) {
        self.gates
            .entry(gate)
            .or_default()
            .waiting
            .insert((rank, lane));
    }

    pub(super) fn unpark(&mut self, gate: u128, rank: Rank, lane: LaneKey) {
        if let Some(entry) = self.gates.get_mut(&gate) {
            entry.waiting.remove(&(rank, lane));
            self.drop_if_unused(gate);
        }
    }

    /// Takes out the first waiting lane whose limit (`None`: it has none any more) lets it through.
    pub(super) fn unpark_first(
        &mut self,
        gate: u128,
        limit: impl Fn(LaneKey) -> Option<u32>,
    ) -> Option<LaneKey> {
        let entry = self.gates.get_mut(&gate)?;
        let inside = entry.inside;
        let passes = |lane: LaneKey| limit(lane).is_none_or(|limit| inside < limit);
        let found = entry
            .waiting
            .iter()
            .take(ASKED_MAX)
            .find(|(_, lane)| passes(*lane))
            .copied()?;
        entry.waiting.remove(&found);
        self.drop_if_unused(gate);
        Some(found.1)
    }

    fn drop_if_unused(&mut self, gate: u128) {
        if self
            .gates
            .get(&gate)
            .is_some_and(|entry| entry.inside == 0 && entry.waiting.is_empty())
        {
            self.gates.remove(&gate);
        }
    }
}
