//! Which crate may depend on which.
//!
//! The table below is the design: arrows point down only, and the studio's capabilities know nothing of jobs. A new
//! crate or a new edge is a line here, so that it is decided and not just written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};

use crate::console;
use crate::process;
use crate::workspace::{Dependency, Kind, Member, Workspace, cargo};

#[cfg(test)]
mod tests;

/// What one crate of the workspace may know of the others.
#[derive(Debug, Clone, Copy)]
struct Rule {
    name: &'static str,
    /// Normal and build dependencies.
    may: &'static [&'static str],
    /// The same, but behind a feature only.
    may_optionally: &'static [&'static str],
    /// Dependencies of its tests, beyond those above.
    tests_may: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        name: "stepwell-protocol",
        may: &[],
        may_optionally: &[],
        tests_may: &[],
    },
    Rule {
        name: "stepwell-expr",
        may: &["stepwell-protocol"],
        may_optionally: &[],
        tests_may: &[],
    },
    Rule {
        name: "stepwell-engine",
        may: &["stepwell-protocol", "stepwell-expr"],
        may_optionally: &[],
        tests_may: &[],
    },
    Rule {
        name: "stepwell-store",
        may: &["stepwell-protocol", "stepwell-expr", "stepwell-engine"],
        may_optionally: &[],
        tests_may: &[],
    },
    Rule {
        name: "stepwell-runtime",
        may: &[
            "stepwell-protocol",
            "stepwell-expr",
            "stepwell-engine",
            "stepwell-store",
        ],
        may_optionally: &[],
        tests_may: &["stepwell"],
    },
    Rule {
        name: "stepwell-server",
        may: &[
            "stepwell-protocol",
            "stepwell-expr",
            "stepwell-engine",
            "stepwell-store",
            "stepwell-runtime",
        ],
        may_optionally: &[],
        tests_may: &["stepwell"],
    },
    Rule {
        name: "stepwell-macros",
        may: &[],
        may_optionally: &[],
        tests_may: &["stepwell"],
    },
    Rule {
        name: "stepwell",
        may: &["stepwell-protocol", "stepwell-macros"],
        may_optionally: &[
            "stepwell-expr",
            "stepwell-engine",
            "stepwell-runtime",
            "stepwell-store",
        ],
        // Itself, to have all its features in its tests.
        tests_may: &["stepwell", "stepwell-server"],
    },
    Rule {
        name: "stepwell-cli",
        may: &[
            "stepwell-protocol",
            "stepwell-expr",
            "stepwell-engine",
            "stepwell-store",
            "stepwell-runtime",
            "stepwell-server",
        ],
        may_optionally: &[],
        tests_may: &["stepwell"],
    },
    Rule {
        name: "stepwell-fuzz",
        may: &[
            "stepwell-protocol",
            "stepwell-expr",
            "stepwell-engine",
            "stepwell-store",
            "stepwell-runtime",
            "stepwell-server",
        ],
        may_optionally: &[],
        tests_may: &[],
    },
    Rule {
        name: "stepwell-sim",
        may: &[
            "stepwell-protocol",
            "stepwell-expr",
            "stepwell-engine",
            "stepwell-store",
            "stepwell-runtime",
            "stepwell-server",
            "stepwell",
        ],
        may_optionally: &[],
        tests_may: &[],
    },
    Rule {
        name: "stepwell-conformance",
        may: &["stepwell"],
        may_optionally: &[],
        tests_may: &[],
    },
    Rule {
        name: "stepwell-bench",
        may: &[
            "stepwell-protocol",
            "stepwell-engine",
            "stepwell-store",
            "stepwell-runtime",
            "stepwell-server",
            "stepwell",
        ],
        may_optionally: &[],
        tests_may: &[],
    },
    Rule {
        name: "studio233-brand",
        may: &[],
        may_optionally: &[],
        tests_may: &[],
    },
    Rule {
        name: "studio233-blob",
        may: &[],
        may_optionally: &[],
        tests_may: &[],
    },
    Rule {
        name: "studio233-db",
        may: &[],
        may_optionally: &[],
        tests_may: &["studio233-brand", "testbed"],
    },
    Rule {
        name: "studio233-ai",
        may: &["studio233-brand", "studio233-media"],
        may_optionally: &[],
        tests_may: &["studio233-blob"],
    },
    Rule {
        name: "studio233-rag",
        may: &[
            "studio233-ai",
            "studio233-blob",
            "studio233-brand",
            "studio233-db",
        ],
        may_optionally: &[],
        tests_may: &["testbed"],
    },
    Rule {
        name: "studio233-media",
        may: &[],
        may_optionally: &[],
        tests_may: &[],
    },
    Rule {
        name: "studio233-plugins",
        may: &["studio233-blob", "studio233-media"],
        may_optionally: &[],
        tests_may: &[],
    },
    Rule {
        name: "studio233-inngest",
        may: &["stepwell"],
        // Who only sends events has none of them: see `check_producers`.
        may_optionally: &[
            "studio233-ai",
            "studio233-blob",
            "studio233-brand",
            "studio233-db",
            "studio233-media",
            "studio233-plugins",
            "studio233-rag",
        ],
        tests_may: &["stepwell-server", "testbed"],
    },
    Rule {
        name: "studio233-setup",
        may: &[
            "stepwell",
            "studio233-ai",
            "studio233-blob",
            "studio233-db",
            "studio233-inngest",
            "studio233-plugins",
            "studio233-rag",
        ],
        may_optionally: &[],
        tests_may: &["stepwell-runtime", "testbed"],
    },
    Rule {
        name: "studio233-web",
        may: &[
            "stepwell",
            "studio233-ai",
            "studio233-blob",
            "studio233-brand",
            "studio233-db",
            "studio233-inngest",
            "studio233-media",
            "studio233-plugins",
            "studio233-rag",
            "studio233-setup",
        ],
        may_optionally: &[],
        tests_may: &["stepwell-server", "testbed"],
    },
    Rule {
        name: "studio233-worker",
        may: &["stepwell", "studio233-inngest", "studio233-setup"],
        may_optionally: &[],
        tests_may: &[
            "stepwell-runtime",
            "stepwell-server",
            "stepwell-store",
            "studio233-db",
        ],
    },
    Rule {
        name: "testbed",
        may: &[],
        may_optionally: &[],
        tests_may: &[],
    },
    Rule {
        name: "xtask",
        may: &["testbed"],
        may_optionally: &[],
        tests_may: &[],
    },
];

/// The capabilities: whatever the table says, no path of any kind leads from them to jobs.
const CAPABILITIES: &[&str] = &[
    "studio233-ai",
    "studio233-brand",
    "studio233-blob",
    "studio233-db",
    "studio233-media",
    "studio233-plugins",
    "studio233-rag",
];

/// What producers of events depend on, without default features.
const EVENTS: &str = "studio233-inngest";

/// What functions work with, and producers of events must not have to build: beside the workspace's own crates.
const HEAVY: &[&str] = &["hayro", "image", "object_store", "rusqlite", "sqlx"];

const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// Prints the graph and what is wrong with it; true if nothing is.
pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    for member in &workspace.members {
        console::line(&drawn(member, &workspace.members));
    }
    let mut problems = check(&workspace.members, RULES);
    let path = workspace.path(ARCHITECTURE);
    match fs::read_to_string(&path) {
        Ok(text) => problems.extend(check_architecture(&text, &workspace.members)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            problems.push(format!(
                "{ARCHITECTURE} is missing: write the map of the workspace"
            ));
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    problems.extend(check_producers()?);
    for problem in &problems {
        console::failure(problem);
    }
    if problems.is_empty() {
        console::line(&format!(
            "arrows: {} crates, every arrow points down",
            workspace.members.len()
        ));
    }
    Ok(problems.is_empty())
}

fn drawn(member: &Member, members: &[Member]) -> String {
    let edges: Vec<String> = inner(member, members)
        .map(|edge| match (edge.kind, edge.optional) {
            (Some(Kind::Dev), _) => format!("({})", edge.name),
            (_, true) => format!("[{}]", edge.name),
            _ => edge.name.clone(),
        })
        .collect();
    format!(
        "{} -> {}",
        member.name,
        if edges.is_empty() {
            "nothing".to_owned()
        } else {
            edges.join(", ")
        }
    )
}

/// The dependencies of `member` that are members themselves.
fn inner<'a>(member: &'a Member, members: &'a [Member]) -> impl Iterator<Item = &'a Dependency> {
    member
        .dependencies
        .iter()
        .filter(|edge| members.iter().any(|other| other.name == edge.name))
}

fn check(members: &[Member], rules: &[Rule]) -> Vec<String> {
    let mut problems = Vec::new();
    for member in members {
        let Some(rule) = rules.iter().find(|rule| rule.name == member.name) else {
            problems.push(format!(
                "{} has no rule: say in xtask/src/arrows.rs what it may depend on",
                member.name
            ));
            continue;
        };
        problems.extend(inner(member, members).filter_map(|edge| offence(rule, edge)));
    }
    problems.extend(CAPABILITIES.iter().filter_map(|capability| {
        let path = path_to_jobs(capability, members)?;
        Some(format!("{} knows of jobs: capabilities must not; let it define a trait and packages/inngest implement it", path.join(" -> ")))
    }));
    problems
}

/// What is wrong with one edge, if anything.
fn offence(rule: &Rule, edge: &Dependency) -> Option<String> {
    let name = edge.name.as_str();
    let from = rule.name;
    let optional = rule.may_optionally.contains(&name);
    match edge.kind {
        _ if rule.may.contains(&name) => None,
        Some(Kind::Dev) if optional || rule.tests_may.contains(&name) => None,
        Some(Kind::Dev) => Some(format!(
            "{from} -> {name} (its tests) is not allowed: {}",
            allowed(rule, true)
        )),
        _ if optional && edge.optional => None,
        _ if optional => Some(format!(
            "{from} -> {name} is allowed behind a feature only: make the dependency optional"
        )),
        _ => Some(format!(
            "{from} -> {name} is not allowed: {}",
            allowed(rule, false)
        )),
    }
}

fn allowed(rule: &Rule, in_tests: bool) -> String {
    let mut names: Vec<&str> = rule
        .may
        .iter()
        .chain(rule.may_optionally)
        .copied()
        .collect();
    if in_tests {
        names.extend(rule.tests_may);
    }
    let names = if names.is_empty() {
        "no crate of the workspace".to_owned()
    } else {
        names.join(", ")
    };
    format!("it may depend on {names}; the table is in xtask/src/arrows.rs")
}

/// The first path from `start` to a crate that knows of jobs, tests included.
fn path_to_jobs(start: &str, members: &[Member]) -> Option<Vec<String>> {
    let knows_jobs = |name: &str| {
        name == "studio233-inngest" || name == "stepwell" || name.starts_with("stepwell-")
    };
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut seen = BTreeSet::from([start]);
    let mut open = vec![start];
    while let Some(name) = open.pop() {
        if knows_jobs(name) {
            let mut path = vec![name.to_owned()];
            let mut at = name;
            while let Some(before) = came_from.get(at) {
                path.push((*before).to_owned());
                at = before;
            }
            path.reverse();
            return Some(path);
        }
        let Some(member) = members.iter().find(|member| member.name == name) else {
            continue;
        };
        for edge in inner(member, members) {
            if seen.insert(&edge.name) {
                came_from.insert(&edge.name, name);
                open.push(&edge.name);
            }
        }
    }
    None
}

/// Sending events takes neither the functions nor what they work with.
fn check_producers() -> Result<Vec<String>> {
    let tree = process::output(cargo().args([
        "tree",
        "--package",
        EVENTS,
        "--no-default-features",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    Ok(check_tree(&tree))
}

/// What is in a tree of [`EVENTS`], a crate on each line, that must not be.
fn check_tree(tree: &str) -> Vec<String> {
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let allowed = [
        "stepwell",
        "stepwell-expr",
        "stepwell-macros",
        "stepwell-protocol",
        EVENTS,
    ];
    let wrong: BTreeSet<&str> = names
        .filter(|name| {
            let ours = name.starts_with("stepwell") || name.starts_with("studio233");
            (ours && !allowed.contains(name)) || HEAVY.contains(name)
        })
        .collect();
    let problem = |name| {
        format!(
            "{EVENTS} without default features needs {name}: let the feature `functions` bring it"
        )
    };
    wrong.into_iter().map(problem).collect()
}

/// The map names every member, and no crate that is not one.
fn check_architecture(text: &str, members: &[Member]) -> Vec<String> {
    let named: BTreeSet<&str> = text
        .split(|character: char| {
            !(character.is_ascii_alphanumeric() || character == '-' || character == '_')
        })
        .filter(|word| !word.is_empty())
        .collect();
    let unnamed = members
        .iter()
        .filter(|member| !named.contains(member.name.as_str()));
    let unknown = named.iter().filter(|word| {
        (word.starts_with("stepwell-") || word.starts_with("studio233-"))
            && !members.iter().any(|member| member.name == **word)
    });
    unnamed
        .map(|member| format!("{ARCHITECTURE} does not name the crate {}", member.name))
        .chain(unknown.map(|word| {
            format!("{ARCHITECTURE} names {word}, which is not a crate of the workspace")
        }))
        .collect()
}
