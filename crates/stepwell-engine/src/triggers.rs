//! From an event's name to the functions that listen to it.

use crate::function::Function;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;
use stepwell_protocol::FunctionId;

/// Functions by the names and patterns of their triggers.
#[derive(Debug, Default)]
pub(crate) struct Index {
    listeners: HashMap<Arc<str>, Vec<FunctionId>>,
}

impl Index {
    pub(crate) fn add(&mut self, function: &Function) {
        for trigger in &function.triggers {
            let listeners = self
                .listeners
                .entry(Arc::clone(&trigger.event))
                .or_default();
            if !listeners.contains(&function.id) {
                listeners.push(function.id);
            }
        }
    }

    pub(crate) fn remove(&mut self, function: &Function) {
        for trigger in &function.triggers {
            if let Some(listeners) = self.listeners.get_mut(&trigger.event) {
                listeners.retain(|id| *id != function.id);
                if listeners.is_empty() {
                    self.listeners.remove(&trigger.event);
                }
            }
        }
    }

    /// The functions that listen to an event of this name, each once, in the order of their registration.
    pub(crate) fn listeners(&self, name: &str) -> Vec<FunctionId> {
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        for_each_pattern(name, |pattern| {
            for id in self.listeners.get(pattern).into_iter().flatten() {
                if seen.insert(*id) {
                    found.push(*id);
                }
            }
        });
        found
    }

    /// Whether any function listens to an event of this name.
    pub(crate) fn any(&self, name: &str) -> bool {
        !self.listeners(name).is_empty()
    }
}

/// Whether a trigger's name or pattern covers an event's name.
pub(crate) fn covers(pattern: &str, name: &str) -> bool {
    let mut covered = false;
    for_each_pattern(name, |candidate| covered |= candidate == pattern);
    covered
}

/// The name itself, then `prefix/*` and `prefix.*` for each of its prefixes.
fn for_each_pattern(name: &str, mut visit: impl FnMut(&str)) {
    visit(name);
    let mut pattern = String::new();
    for (at, separator) in name.char_indices().filter(|(_, c)| matches!(c, '/' | '.')) {
        pattern.clear();
        pattern.push_str(&name[..at]);
        pattern.push(separator);
        pattern.push('*');
        if pattern != name {
            visit(&pattern);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_at_separators_only() {
        let patterns = |name: &str| {
            let mut found = Vec::new();
            for_each_pattern(name, |pattern| found.push(pattern.to_owned()));
            found
        };
        assert_eq!(
            patterns("app/user.created"),
            ["app/user.created", "app/*", "app/user.*"]
        );
        assert_eq!(
            patterns("api/v1/users"),
            ["api/v1/users", "api/*", "api/v1/*"]
        );
        assert!(covers("app/*", "app/a/b.c"));
        assert!(!covers("*", "app/a"));
        assert!(!covers("app/us*", "app/user"));
    }
}
