//! From an event to the waits that it may match, in time that depends on how many match rather than on how many wait.
//!
//! A wait is filed under the name of its event and there under one of the comparisons `async.path == value` that its
//! condition asks for: the one that fewest others are filed under, so that a comparison which tells waits apart is
//! preferred to one that all of them share. An event looks up its value at each path in use. Waits without such a
//! comparison are asked about every event of their name.

use crate::ItemId;
use hashbrown::HashMap;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use stepwell_expr::{Equality, IndexKey, Path};

#[derive(Debug, Default)]
pub(super) struct Index {
    names: HashMap<Arc<str>, Waiting>,
    waits: usize,
}

/// The waits for one name.
#[derive(Debug, Default)]
struct Waiting {
    unindexed: BTreeSet<ItemId>,
    paths: HashMap<Path, HashMap<IndexKey, BTreeSet<ItemId>>>,
    /// Where each indexed wait is filed.
    filed: HashMap<ItemId, Arc<Equality>>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.unindexed.is_empty() && self.filed.is_empty()
    }

    fn neighbours(&self, equality: &Equality) -> usize {
        let values = self.paths.get(&equality.path);
        values
            .and_then(|values| values.get(&equality.value))
            .map_or(0, BTreeSet::len)
    }
}

impl Index {
    pub(super) fn insert(&mut self, id: ItemId, name: &Arc<str>, equalities: &[Equality]) {
        let waiting = self.names.entry(Arc::clone(name)).or_default();
        let best = equalities
            .iter()
            .min_by_key(|equality| waiting.neighbours(equality));
        let new = match best {
            None => waiting.unindexed.insert(id),
            Some(equality) => {
                let values = waiting.paths.entry(equality.path.clone()).or_default();
                values.entry(equality.value.clone()).or_default().insert(id);
                let filed = Arc::new(equality.clone());
                waiting.filed.insert(id, filed).is_none()
            }
        };
        self.waits += usize::from(new);
    }

    pub(super) fn remove(&mut self, id: ItemId, name: &str) {
        let Some(waiting) = self.names.get_mut(name) else {
            return;
        };
        let mut removed = waiting.unindexed.remove(&id);
        if let Some(equality) = waiting.filed.remove(&id) {
            removed = true;
            if let Some(values) = waiting.paths.get_mut(&equality.path) {
                if let Some(ids) = values.get_mut(&equality.value) {
                    ids.remove(&id);
                    if ids.is_empty() {
                        values.remove(&equality.value);
                    }
                }
                if values.is_empty() {
                    waiting.paths.remove(&equality.path);
                }
            }
        }
        if waiting.is_empty() {
            self.names.remove(name);
        }
        self.waits -= usize::from(removed);
    }

    pub(super) fn any(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    pub(super) fn len(&self) -> usize {
        self.waits
    }

    /// The waits with ids below `bound` that an event of this name may match, in the order of their ids.
    pub(super) fn candidates(&self, name: &str, event: &Value, bound: ItemId) -> Vec<ItemId> {
        let Some(waiting) = self.names.get(name) else {
            return Vec::new();
        };
        let mut found: Vec<ItemId> = waiting.unindexed.range(..bound).copied().collect();
        for (path, values) in &waiting.paths {
            let value = path.find(event).and_then(IndexKey::of);
            if let Some(ids) = value.and_then(|value| values.get(&value)) {
                found.extend(ids.range(..bound));
            }
        }
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use stepwell_expr::{Bindings, Expr};

    fn index_of(conditions: &[Option<&str>]) -> Index {
        let mut index = Index::default();
        for (position, condition) in conditions.iter().enumerate() {
            let equalities = condition.map(|source| Expr::compile(source).unwrap().equalities());
            let id = ItemId(position as u64 + 1);
            index.insert(id, &"x/y".into(), &equalities.unwrap_or_default());
        }
        index
    }

    fn candidates(index: &Index, event: &Value) -> Vec<u64> {
        let found = index.candidates("x/y", event, ItemId(u64::MAX));
        found.into_iter().map(|id| id.0).collect()
    }

    #[test]
    fn waits_are_filed_under_what_tells_them_apart() {
        let condition = |id: u32| format!("async.data.kind == 'paid' && async.data.id == {id}");
        let mut index = Index::default();
        for id in 1..=1_000_u32 {
            let expr = Expr::compile(&condition(id)).unwrap();
            index.insert(ItemId(u64::from(id)), &"x/y".into(), &expr.equalities());
        }
        let event = json!({"data": {"kind": "paid", "id": 77}});
        let found = candidates(&index, &event);
        assert!(found.contains(&77));
        assert!(found.len() <= 2, "{} candidates for one match", found.len());
    }

    #[test]
    fn what_was_removed_is_found_no_more_and_leaves_nothing() {
        let mut index = index_of(&[Some("async.data.id == 1"), None, Some("async.data.id == 1")]);
        let event = json!({"data": {"id": 1.0}});
        assert_eq!(candidates(&index, &event), [1, 2, 3]);
        assert_eq!(index.candidates("x/y", &event, ItemId(3)).len(), 2);
        for id in 1..=3 {
            index.remove(ItemId(id), "x/y");
        }
        assert!(candidates(&index, &event).is_empty());
        assert!(!index.any("x/y") && index.len() == 0 && index.names.is_empty());
    }

    proptest! {
        #[test]
        fn every_wait_that_matches_is_a_candidate(
            conditions in proptest::collection::vec((0_usize..5, 0_u8..3, 0_u8..3), 0..30),
            id in 0_u8..3,
            kind in 0_u8..3,
        ) {
            let texts: Vec<Option<String>> = conditions.iter().map(|(form, a, b)| match form {
                0 => None,
                1 => Some(format!("async.data.id == {a}")),
                2 => Some(format!("async.data.id == {a} && async.data.kind == '{b}'")),
                3 => Some(format!("async.data.id == {a} || async.data.kind == '{b}'")),
                _ => Some(format!("async.data.id > {a} && async.data['kind'] == '{b}'")),
            }).collect();
            let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
            let index = index_of(&texts);
            let event = json!({"data": {"id": id, "kind": kind.to_string()}});
            let found = candidates(&index, &event);
            for (position, text) in texts.iter().enumerate() {
                let matches = text.is_none_or(|text| {
                    Expr::compile(text).unwrap().eval_bool(&Bindings::of_incoming(&event), 0).unwrap_or(false)
                });
                prop_assert!(!matches || found.contains(&(position as u64 + 1)), "{text:?} was not found");
            }
        }
    }
}
