//! Runs that programs defer to their end, and may call off before.

use super::program::Node;
use super::wait::Awaited;
use super::{App, Body, Function, Trigger};
use crate::dice::Dice;
use stepwell_protocol::StepId;
use stepwell_protocol::event::{
    DEFERRED_SCHEDULE, FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED,
};

/// A place in a program where it defers a run, or calls one off.
#[derive(Debug, Clone)]
pub(crate) struct Defer {
    pub(crate) id: StepId,
    pub(crate) name: String,
    /// The deferred run to call off.
    pub(crate) aborts: Option<StepId>,
}

impl Defer {
    pub(super) fn describe(&self) -> String {
        match self.aborts {
            Some(_) => format!("{} (calls off what was deferred)", self.name),
            None => format!("{} (defers)", self.name),
        }
    }
}

/// Has some functions defer runs, and some be what is deferred.
pub(crate) fn add(dice: &mut Dice, apps: &mut [App]) {
    for function in apps.iter_mut().flat_map(|app| &mut app.functions) {
        if dice.chance(40) {
            become_deferred(function);
        } else if !hears_of_ends(function) {
            defer(dice, function);
        }
    }
}

/// What is deferred does not start others in its turn: that would go on for ever.
fn become_deferred(function: &mut Function) {
    for variant in &mut function.variants {
        variant.triggers.push(Trigger {
            event: DEFERRED_SCHEDULE,
            condition: None,
        });
    }
    if let Body::Program(program) = &mut function.body {
        forget_invocations(&mut program.body);
    }
}

fn forget_invocations(nodes: &mut [Node]) {
    for node in nodes {
        match node {
            Node::Wait(wait) => {
                if let Awaited::Invoke(_) = wait.what {
                    wait.what = Awaited::Signal {
                        signal: 0,
                        replaces: true,
                    };
                    wait.ms = 1_000;
                }
            }
            Node::All(branches) | Node::Race(branches) => {
                for branch in branches {
                    forget_invocations(branch);
                }
            }
            Node::Step(_) | Node::Sleep(_) | Node::Stumble(_) | Node::Defer(_) => {}
        }
    }
}

fn hears_of_ends(function: &Function) -> bool {
    let mut triggers = function
        .variants
        .iter()
        .flat_map(|variant| &variant.triggers);
    let ends = [FUNCTION_FINISHED, FUNCTION_FAILED, FUNCTION_CANCELLED];
    triggers.any(|trigger| ends.contains(&trigger.event))
}

fn defer(dice: &mut Dice, function: &mut Function) {
    let Body::Program(program) = &mut function.body else {
        return;
    };
    for nth in 0..dice.between(1, 3) {
        let name = format!("d{nth}");
        let id = StepId::of(&name, 0);
        let at = dice.index(program.body.len() + 1);
        let node = |name: String, aborts: Option<StepId>| {
            Node::Defer(Defer {
                id: StepId::of(&name, 0),
                name,
                aborts,
            })
        };
        program.body.insert(at, node(name.clone(), None));
        if dice.chance(30) {
            let later = at + 1 + dice.index(program.body.len() - at);
            let aborting = node(format!("{name}:abort"), Some(id));
            program.body.insert(later, aborting);
        }
    }
}
