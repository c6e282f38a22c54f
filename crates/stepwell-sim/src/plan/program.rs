//! Programs: what a function's code does, as a tree of steps.

use super::defer::Defer;
use super::wait::Wait;
use stepwell_protocol::StepId;

/// A function's code.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) body: Vec<Node>,
    pub(crate) ending: Ending,
}

/// A part of a program. A list of them runs in order.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Step(Step),
    Sleep(Sleep),
    Wait(Wait),
    /// It takes no time.
    Defer(Defer),
    /// Code between steps that throws in the first attempts.
    Stumble(Stumble),
    /// Branches at the same time, all of which are waited for; the first failure is the whole's.
    All(Vec<Vec<Node>>),
    /// Branches at the same time; the first to end ends the whole. None of them fails.
    Race(Vec<Vec<Node>>),
}

#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) id: StepId,
    pub(crate) name: String,
    pub(crate) conduct: Conduct,
    /// Whether the function goes on when the step has failed for good.
    pub(crate) caught: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Sleep {
    pub(crate) id: StepId,
    pub(crate) name: String,
    pub(crate) ms: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Stumble {
    /// Attempts that fail.
    pub(crate) times: u32,
    /// Whether it fails in all of them, and says not to try again.
    pub(crate) no_retry: bool,
}

/// What a step does when it is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conduct {
    Succeeds,
    /// Fails in so many attempts, then succeeds.
    Flaky(u32),
    /// Takes the whole call with it in so many attempts, then succeeds.
    Collapses(u32),
    /// Fails for good, in its own words.
    Breaks,
    /// Fails, and the SDK says not to try again.
    RefusesRetry,
}

/// How a program ends when it gets that far.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    Returns,
    Throws { no_retry: bool },
}

/// How a run of a program ends when nothing but the program decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Completes,
    Fails,
}

impl Program {
    /// How a run ends of which every failed attempt but those that the program plans is tried again for free.
    pub(crate) fn fate(&self, retries: u32) -> Fate {
        match (fate_of(&self.body, retries), self.ending) {
            (Fate::Completes, Ending::Returns) => Fate::Completes,
            _ => Fate::Fails,
        }
    }
}

impl Program {
    /// How long the sleep of this id is to last; nothing if there is none.
    pub(crate) fn sleep_ms(&self, id: &StepId) -> Option<u64> {
        sleep_in(&self.body, id)
    }

    /// Whether the step or sleep of this id is in a race.
    pub(crate) fn races(&self, id: &StepId) -> bool {
        races_in(&self.body, id, false)
    }

    pub(crate) fn has_race(&self) -> bool {
        race_in(&self.body)
    }
}

fn races_in(nodes: &[Node], id: &StepId, in_race: bool) -> bool {
    nodes.iter().any(|node| match node {
        Node::Step(step) => in_race && step.id == *id,
        Node::Sleep(sleep) => in_race && sleep.id == *id,
        Node::Wait(wait) => in_race && wait.id == *id,
        Node::Stumble(_) | Node::Defer(_) => false,
        Node::All(branches) => branches.iter().any(|branch| races_in(branch, id, in_race)),
        Node::Race(branches) => branches.iter().any(|branch| races_in(branch, id, true)),
    })
}

fn race_in(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| match node {
        Node::Race(_) => true,
        Node::All(branches) => branches.iter().any(|branch| race_in(branch)),
        Node::Step(_) | Node::Sleep(_) | Node::Wait(_) | Node::Stumble(_) | Node::Defer(_) => false,
    })
}

fn sleep_in(nodes: &[Node], id: &StepId) -> Option<u64> {
    nodes.iter().find_map(|node| match node {
        Node::Sleep(sleep) if sleep.id == *id => Some(sleep.ms),
        Node::All(branches) | Node::Race(branches) => {
            branches.iter().find_map(|branch| sleep_in(branch, id))
        }
        Node::Sleep(_) | Node::Step(_) | Node::Wait(_) | Node::Stumble(_) | Node::Defer(_) => None,
    })
}

fn fate_of(nodes: &[Node], retries: u32) -> Fate {
    let fails = nodes.iter().any(|node| match node {
        Node::Step(step) => match step.conduct {
            Conduct::Succeeds => false,
            Conduct::Flaky(times) => times > retries && !step.caught,
            Conduct::Collapses(times) => times > retries,
            Conduct::Breaks | Conduct::RefusesRetry => !step.caught,
        },
        Node::Stumble(stumble) => stumble.no_retry || stumble.times > retries,
        Node::Sleep(_) | Node::Wait(_) | Node::Defer(_) | Node::Race(_) => false,
        Node::All(branches) => branches
            .iter()
            .any(|branch| fate_of(branch, retries) == Fate::Fails),
    });
    if fails { Fate::Fails } else { Fate::Completes }
}
