//! Walking a program: how far recorded steps take it, and what it wants next.

use crate::plan::defer::Defer;
use crate::plan::program::{Node, Sleep, Step, Stumble};
use crate::plan::wait::Wait;
use std::collections::HashMap;
use stepwell_protocol::StepId;

/// The recorded steps of a run, and whether each has failed.
pub(crate) type Memo = HashMap<StepId, bool>;

/// Where a part of a program stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    Done,
    /// A step in it has failed, and nobody caught that.
    Failed,
    /// Code in it threw.
    Threw {
        no_retry: bool,
    },
    Blocked,
}

/// Something that a program wants next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'p> {
    pub(super) what: What<'p>,
    pub(super) in_race: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum What<'p> {
    Step(&'p Step),
    Sleep(&'p Sleep),
    Wait(&'p Wait),
}

/// Runs a program on what is recorded. Code between steps throws only in a call that looks for what comes next
/// (`attempt` is nothing in others), and only as long as nothing after it is recorded.
pub(super) fn walk<'p>(
    nodes: &'p [Node],
    memo: &Memo,
    attempt: Option<u32>,
    in_race: bool,
    wanted: &mut Vec<Wanted<'p>>,
    deferred: &mut Vec<&'p Defer>,
) -> Stand {
    for (at, node) in nodes.iter().enumerate() {
        let stand = match node {
            Node::Step(step) => match memo.get(&step.id) {
                Some(true) if !step.caught => Stand::Failed,
                Some(_) => Stand::Done,
                None => {
                    let what = What::Step(step);
                    wanted.push(Wanted { what, in_race });
                    Stand::Blocked
                }
            },
            Node::Sleep(sleep) => {
                if memo.contains_key(&sleep.id) {
                    Stand::Done
                } else {
                    let what = What::Sleep(sleep);
                    wanted.push(Wanted { what, in_race });
                    Stand::Blocked
                }
            }
            Node::Wait(wait) => {
                // Whatever came of it, the function goes on.
                if memo.contains_key(&wait.id) {
                    Stand::Done
                } else {
                    let what = What::Wait(wait);
                    wanted.push(Wanted { what, in_race });
                    Stand::Blocked
                }
            }
            Node::Defer(defer) => {
                deferred.push(defer);
                Stand::Done
            }
            Node::Stumble(Stumble { times, no_retry }) => {
                let throws = attempt.is_some_and(|attempt| *no_retry || attempt < *times)
                    && !any_recorded(&nodes[at + 1..], memo);
                if throws {
                    Stand::Threw {
                        no_retry: *no_retry,
                    }
                } else {
                    Stand::Done
                }
            }
            Node::All(branches) => {
                let stands = branches
                    .iter()
                    .map(|branch| walk(branch, memo, attempt, in_race, wanted, deferred));
                stands.fold(Stand::Done, |whole, part| match (whole, part) {
                    (Stand::Failed, _) | (_, Stand::Failed) => Stand::Failed,
                    (Stand::Done, part) => part,
                    (whole, _) => whole,
                })
            }
            Node::Race(branches) => {
                let mut won = false;
                for branch in branches {
                    won |= walk(branch, memo, attempt, true, wanted, deferred) == Stand::Done;
                }
                if won { Stand::Done } else { Stand::Blocked }
            }
        };
        if stand != Stand::Done {
            return stand;
        }
    }
    Stand::Done
}

fn any_recorded(nodes: &[Node], memo: &Memo) -> bool {
    nodes.iter().any(|node| match node {
        Node::Step(step) => memo.contains_key(&step.id),
        Node::Sleep(sleep) => memo.contains_key(&sleep.id),
        Node::Wait(wait) => memo.contains_key(&wait.id),
        Node::Stumble(_) | Node::Defer(_) => false,
        Node::All(branches) | Node::Race(branches) => {
            branches.iter().any(|branch| any_recorded(branch, memo))
        }
    })
}
