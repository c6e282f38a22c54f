//! Waits in programs: for events, for signals, and for functions that a step invokes.

use super::flow::Data;
use super::program::Node;
use super::{App, Body};
use crate::dice::Dice;
use serde_json::json;
use stepwell_engine::{Ask, EventWait, Invocation, SignalWait, waits};
use stepwell_protocol::event::{FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED};
use stepwell_protocol::op::Opcode;
use stepwell_protocol::span::format_ms;
use stepwell_protocol::{FunctionId, StepId};

/// Signals that functions wait for.
pub(crate) const SIGNALS: u64 = 2;
/// A time in which everything that goes on at all has come to its end.
const LONG_MS: u64 = 300 * 24 * 60 * 60 * 1_000;

/// A step that waits. What comes of it, a function takes as it is.
#[derive(Debug, Clone)]
pub(crate) struct Wait {
    pub(crate) id: StepId,
    pub(crate) name: String,
    pub(crate) what: Awaited,
    /// When it gives up.
    pub(crate) ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    Event {
        name: &'static str,
        which: Which,
        look_back_ms: Option<u64>,
    },
    Signal {
        signal: u64,
        replaces: bool,
    },
    Invoke(FunctionId),
}

/// Which of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Any,
    /// Those of the run's own user.
    SameUser,
    /// Those whose number is above that of the run's event.
    GreaterNumber,
    NumberAbove(u64),
    /// None: the condition cannot be told.
    Broken,
}

impl Which {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        match dice.below(10) {
            0..=2 => Self::Any,
            3..=5 => Self::SameUser,
            6 | 7 => Self::GreaterNumber,
            8 => Self::NumberAbove(dice.below(9)),
            _ => Self::Broken,
        }
    }

    pub(super) fn expression(self) -> String {
        match self {
            Self::Any => String::new(),
            Self::SameUser => "async.data.u == event.data.u".to_owned(),
            Self::GreaterNumber => "async.data.n > event.data.n".to_owned(),
            Self::NumberAbove(number) => format!("async.data.n > {number}"),
            Self::Broken => "1 / 0 == async.data.u".to_owned(),
        }
    }

    /// Whether an event resumes a run of another one.
    pub(crate) fn met(self, run: Data, event: Data) -> bool {
        match self {
            Self::Any => true,
            Self::SameUser => event.user == run.user,
            Self::GreaterNumber => event.number > run.number,
            Self::NumberAbove(number) => event.number > number,
            Self::Broken => false,
        }
    }
}

impl Wait {
    pub(crate) fn opcode(&self) -> Opcode {
        match self.what {
            Awaited::Event { .. } => Opcode::WaitForEvent,
            Awaited::Signal { .. } => Opcode::WaitForSignal,
            Awaited::Invoke(_) => Opcode::InvokeFunction,
        }
    }

    /// What a run with this data asks for.
    pub(crate) fn ask(&self, data: Data) -> Ask {
        let timeout = format!("{}ms", self.ms);
        let data = json!({"data": {"u": data.user, "n": data.number}});
        match self.what {
            Awaited::Event {
                name,
                which,
                look_back_ms,
            } => Ask::Event(Box::new(EventWait {
                event: name.to_owned(),
                condition: waits::condition_for(&which.expression(), &data),
                timeout,
                look_back_ms,
            })),
            Awaited::Signal { signal, replaces } => Ask::Signal(Box::new(SignalWait {
                signal: signal_name(signal),
                timeout,
                replaces,
            })),
            Awaited::Invoke(function) => Ask::Invoke(Box::new(Invocation {
                function: function.to_string(),
                payload: data,
                timeout,
            })),
        }
    }

    pub(super) fn describe(&self) -> String {
        let until = format_ms(self.ms);
        match &self.what {
            Awaited::Event {
                name,
                which,
                look_back_ms,
            } => {
                let back = look_back_ms
                    .map_or_else(String::new, |ms| format!(", looks back {}", format_ms(ms)));
                format!("{} (waits {until} for {name}, {which:?}{back})", self.name)
            }
            Awaited::Signal { signal, replaces } => {
                let replaces = if *replaces { ", replaces" } else { "" };
                let signal = signal_name(*signal);
                format!(
                    "{} (waits {until} for signal {signal}{replaces})",
                    self.name
                )
            }
            Awaited::Invoke(function) => {
                format!("{} (invokes {function}, waits {until})", self.name)
            }
        }
    }
}

pub(crate) fn signal_name(signal: u64) -> String {
    format!("g{signal}")
}

/// The wait of this id.
pub(crate) fn find<'p>(nodes: &'p [Node], id: &StepId) -> Option<&'p Wait> {
    nodes.iter().find_map(|node| match node {
        Node::Wait(wait) if wait.id == *id => Some(wait),
        Node::All(branches) | Node::Race(branches) => {
            branches.iter().find_map(|branch| find(branch, id))
        }
        _ => None,
    })
}

/// Whether a program has a wait that fails its run when another one waits for the same signal.
pub(crate) fn may_conflict(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| match node {
        Node::Wait(wait) => {
            matches!(wait.what, Awaited::Signal { replaces, .. } if !replaces)
        }
        Node::All(branches) | Node::Race(branches) => {
            branches.iter().any(|branch| may_conflict(branch))
        }
        _ => false,
    })
}

/// Puts waits into some of the programs.
pub(crate) fn add(dice: &mut Dice, apps: &mut [App], span_ms: u64) {
    let functions: Vec<FunctionId> = apps
        .iter()
        .flat_map(|app| app.functions.iter().map(|function| function.id))
        .collect();
    let of_all = apps.iter_mut().flat_map(|app| &mut app.functions);
    for (number, function) in of_all.enumerate() {
        let variants = &function.variants;
        let hears_of_ends = variants.iter().any(|variant| {
            let mut triggers = variant.triggers.iter();
            triggers.any(|trigger| {
                [FUNCTION_FINISHED, FUNCTION_FAILED, FUNCTION_CANCELLED].contains(&trigger.event)
            })
        });
        // Only functions after it, and not from the end of another run: both would go on for ever.
        let targets = if hears_of_ends {
            &[]
        } else {
            &functions[number + 1..]
        };
        let Body::Program(program) = &mut function.body else {
            continue;
        };
        let count = dice.pick(&[0, 0, 1, 1, 2, 3]);
        for nth in 0..count {
            let wait = wait(dice, nth, targets, span_ms);
            insert(dice, &mut program.body, wait);
        }
    }
}

fn wait(dice: &mut Dice, nth: u64, targets: &[FunctionId], span_ms: u64) -> Wait {
    let name = format!("w{nth}");
    let what = match dice.below(10) {
        0..=2 if !targets.is_empty() => Awaited::Invoke(dice.pick(targets)),
        3 | 4 => Awaited::Signal {
            signal: dice.below(SIGNALS),
            replaces: dice.chance(60),
        },
        _ => Awaited::Event {
            name: dice.pick(&["x/a", "x/a", "x/b", "x/b", "x/deep.c", FUNCTION_FINISHED]),
            which: Which::draw(dice),
            look_back_ms: dice.chance(35).then(|| dice.below(span_ms)),
        },
    };
    let ms = match (what, dice.below(10)) {
        (_, 0) => 0,
        (Awaited::Invoke(_), 1..=6) => LONG_MS,
        _ => dice.below(span_ms),
    };
    Wait {
        id: StepId::of(&name, 0),
        name,
        what,
        ms,
    }
}

fn insert(dice: &mut Dice, nodes: &mut Vec<Node>, wait: Wait) {
    let at = dice.index(nodes.len() + 1);
    if let Some(Node::All(branches) | Node::Race(branches)) = nodes.get_mut(at)
        && dice.chance(60)
    {
        let branch = dice.index(branches.len());
        return insert(dice, &mut branches[branch], wait);
    }
    nodes.insert(at, Node::Wait(wait));
}
