//! The order in which nodes run, and whose outputs each gets.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;

/// A graph without cycles, whose edges begin and end at its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    ids: Vec<String>,
    places: HashMap<String, usize>,
    /// For each node, where its inputs come from, in edge order, each once.
    sources: Vec<Vec<usize>>,
    targets: Vec<Vec<usize>>,
    order: Vec<usize>,
}

/// Why nodes and edges are no graph that can be run: everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the graph cannot be run: {}", joined(.problems))]
pub struct GraphError {
    /// Never empty.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Two nodes have this id.
    Duplicate { node: String },
    /// An edge begins or ends at a node that is not there.
    Dangling {
        source: String,
        target: String,
        /// Its source, its target, or both.
        missing: Vec<String>,
    },
    /// These nodes wait for each other, each for the one before it, and the first for the last.
    Cycle { nodes: Vec<String> },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { node } => write!(f, "two nodes have the id {node:?}"),
            Self::Dangling {
                source,
                target,
                missing,
            } => {
                let missing: Vec<String> = missing.iter().map(|id| format!("{id:?}")).collect();
                let missing = missing.join(" and ");
                write!(
                    f,
                    "the edge {source:?} → {target:?} needs {missing}, which is no node"
                )
            }
            Self::Cycle { nodes } => {
                f.write_str("a cycle: ")?;
                for node in nodes {
                    write!(f, "{node:?} → ")?;
                }
                match nodes.first() {
                    Some(first) => write!(f, "{first:?}"),
                    None => Ok(()),
                }
            }
        }
    }
}

fn joined(problems: &[Problem]) -> String {
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    told.join("; ")
}

impl Graph {
    /// Orders nodes, given by id, and edges, given by source and target.
    pub fn new<'a>(
        nodes: impl IntoIterator<Item = &'a str>,
        edges: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, GraphError> {
        let mut problems = Vec::new();
        let mut ids: Vec<String> = Vec::new();
        let mut places = HashMap::new();
        for id in nodes {
            if places.contains_key(id) {
                problems.push(Problem::Duplicate {
                    node: id.to_owned(),
                });
                continue;
            }
            places.insert(id.to_owned(), ids.len());
            ids.push(id.to_owned());
        }
        let mut sources = vec![Vec::new(); ids.len()];
        let mut targets = vec![Vec::new(); ids.len()];
        for (source, target) in edges {
            let (Some(&from), Some(&to)) = (places.get(source), places.get(target)) else {
                let missing = [source, target]
                    .into_iter()
                    .filter(|id| !places.contains_key(*id));
                let mut missing: Vec<String> = missing.map(str::to_owned).collect();
                missing.dedup();
                problems.push(Problem::Dangling {
                    source: source.to_owned(),
                    target: target.to_owned(),
                    missing,
                });
                continue;
            };
            // A second edge between two nodes would only double the files.
            if !sources[to].contains(&from) {
                sources[to].push(from);
                targets[from].push(to);
            }
        }
        let order = order(&sources, &targets);
        if order.len() < ids.len() {
            problems.push(Problem::Cycle {
                nodes: cycle(&sources, &order)
                    .into_iter()
                    .map(|at| ids[at].clone())
                    .collect(),
            });
        }
        if !problems.is_empty() {
            return Err(GraphError { problems });
        }
        Ok(Self {
            ids,
            places,
            sources,
            targets,
            order,
        })
    }

    /// All nodes, each after those it gets files from; among those that could be next, the one that was given first.
    pub fn order(&self) -> impl ExactSizeIterator<Item = &str> {
        self.order.iter().map(|at| self.ids[*at].as_str())
    }

    /// The nodes in groups that can run at the same time: each waits only for nodes of earlier groups. Within a group, in the order
    /// they were given.
    pub fn levels(&self) -> Vec<Vec<&str>> {
        let mut level_of = vec![0; self.ids.len()];
        for &at in &self.order {
            let after = self.sources[at].iter().map(|source| level_of[*source] + 1);
            level_of[at] = after.max().unwrap_or(0);
        }
        let count = level_of.iter().max().map_or(0, |last| last + 1);
        let mut levels = vec![Vec::new(); count];
        for (id, level) in self.ids.iter().zip(level_of) {
            levels[level].push(id.as_str());
        }
        levels
    }

    /// The nodes whose outputs a node gets, in edge order. None for a node that is not in the graph.
    pub fn inputs(&self, node: &str) -> Option<impl ExactSizeIterator<Item = &str>> {
        let at = *self.places.get(node)?;
        Some(
            self.sources[at]
                .iter()
                .map(|source| self.ids[*source].as_str()),
        )
    }

    /// The nodes that nobody gets files from, in the order they were given.
    pub fn sinks(&self) -> impl Iterator<Item = &str> {
        let pairs = self.ids.iter().zip(&self.targets);
        pairs
            .filter(|(_, targets)| targets.is_empty())
            .map(|(id, _)| id.as_str())
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

/// Kahn's algorithm (1962). Shorter than all nodes when there is a cycle.
fn order(sources: &[Vec<usize>], targets: &[Vec<usize>]) -> Vec<usize> {
    let mut waits_for: Vec<usize> = sources.iter().map(Vec::len).collect();
    let free = waits_for
        .iter()
        .enumerate()
        .filter(|(_, count)| **count == 0);
    let mut free: BinaryHeap<Reverse<usize>> = free.map(|(at, _)| Reverse(at)).collect();
    let mut order = Vec::with_capacity(sources.len());
    while let Some(Reverse(at)) = free.pop() {
        order.push(at);
        for &target in &targets[at] {
            waits_for[target] -= 1;
            if waits_for[target] == 0 {
                free.push(Reverse(target));
            }
        }
    }
    order
}

/// One cycle among the nodes that could not be ordered, in the direction of its edges.
fn cycle(sources: &[Vec<usize>], ordered: &[usize]) -> Vec<usize> {
    let mut is_ordered = vec![false; sources.len()];
    for &at in ordered {
        is_ordered[at] = true;
    }
    let Some(mut at) = is_ordered.iter().position(|ordered| !ordered) else {
        return Vec::new();
    };
    // Each of them waits for another of them, so going back comes round.
    let mut path: Vec<usize> = Vec::new();
    let mut step_of = vec![None; sources.len()];
    loop {
        if let Some(start) = step_of[at] {
            let mut cycle = path.split_off(start);
            cycle.reverse();
            return cycle;
        }
        step_of[at] = Some(path.len());
        path.push(at);
        match sources[at].iter().find(|source| !is_ordered[**source]) {
            Some(&source) => at = source,
            None => return path,
        }
    }
}

#[cfg(test)]
mod tests;
