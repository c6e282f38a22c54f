//! Drawing plans: what a seed makes users write.

use super::cutoff::Cutoff;
use super::flow::{Flow, Key, Limit, Priority, RateLimit, Scope, Throttle};
use super::gather::Gather;
use super::program::{Conduct, Ending, Node, Program, Sleep, Step, Stumble};
use super::{App, Body, Condition, Function, Trigger, Variant, Version};
use crate::dice::Dice;
use stepwell_protocol::event::{FUNCTION_CANCELLED, FUNCTION_FAILED, FUNCTION_FINISHED};
use stepwell_protocol::{AppId, FunctionId, StepId};

/// Levels of parallel groups in each other.
const DEPTH_MAX: u32 = 2;
/// Steps of one program, about.
const STEPS_MAX: usize = 8;

/// The apps of a seed. `span_ms` is how long its script takes: sleeps and periods are drawn to its measure.
pub(crate) fn apps(dice: &mut Dice, span_ms: u64) -> Vec<App> {
    (0..dice.between(1, 2))
        .map(|number| app(dice, &format!("app{number}"), span_ms))
        .collect()
}

fn app(dice: &mut Dice, name: &str, span_ms: u64) -> App {
    let functions: Vec<Function> = (0..dice.between(1, 3))
        .map(|number| function(dice, name, &format!("f{number}"), span_ms))
        .collect();
    let versions = (0..dice.between(1, 4))
        .map(|number| Version {
            moved: number > 0 && dice.chance(20),
            variants: functions
                .iter()
                .map(|function| {
                    let missing = number > 0 && dice.chance(15);
                    (!missing).then(|| dice.index(function.variants.len()))
                })
                .collect(),
        })
        .collect();
    App {
        name: name.to_owned(),
        functions,
        versions,
    }
}

pub(super) fn function(dice: &mut Dice, app: &str, slug: &str, span_ms: u64) -> Function {
    let body = if dice.chance(12) {
        Body::Liar
    } else {
        Body::Program(program(dice, span_ms))
    };
    let variants = (0..dice.between(1, 3))
        .map(|_| Variant {
            triggers: triggers(dice),
            crons: Vec::new(),
            flow: flow(dice, span_ms),
            cutoff: Cutoff::default(),
            gather: Gather::Nothing,
        })
        .collect();
    Function {
        id: FunctionId::of(AppId::of(app), slug),
        slug: slug.to_owned(),
        retries: dice.pick(&[0, 1, 1, 2, 3]),
        speaks: if dice.chance(60) { 2 } else { 1 },
        checkpoints: dice.chance(45).then(|| dice.pick(&[1, 1, 2, 3])),
        says_generation: dice.chance(70),
        abandons: dice.chance(70),
        body,
        variants,
    }
}

pub(super) fn program(dice: &mut Dice, span_ms: u64) -> Program {
    let steps = 0;
    Drawing {
        dice,
        span_ms,
        steps,
    }
    .program()
}

fn triggers(dice: &mut Dice) -> Vec<Trigger> {
    let mut triggers: Vec<Trigger> = Vec::new();
    for _ in 0..dice.between(1, 2) {
        let event = dice.pick(&[
            "x/a",
            "x/a",
            "x/b",
            "x/b",
            "x/*",
            "x/deep.*",
            FUNCTION_FINISHED,
            FUNCTION_FAILED,
            FUNCTION_CANCELLED,
        ]);
        let condition = match dice.below(10) {
            0 => Some(Condition::UserIs(dice.below(3))),
            1 => Some(Condition::NumberAbove(dice.below(9))),
            2 if dice.chance(30) => Some(Condition::Broken),
            _ => None,
        };
        let trigger = Trigger { event, condition };
        if !triggers.contains(&trigger) {
            triggers.push(trigger);
        }
    }
    triggers
}

fn flow(dice: &mut Dice, span_ms: u64) -> Flow {
    let mut flow = Flow::default();
    if dice.chance(45) {
        for _ in 0..dice.between(1, 2) {
            let limit = limit(dice);
            let same = |other: &Limit| (other.key, other.scope) == (limit.key, limit.scope);
            if !flow.concurrency.iter().any(same) {
                flow.concurrency.push(limit);
            }
        }
    }
    let period_s = |dice: &mut Dice| dice.between(1, (span_ms / 2_000).clamp(2, 20_000));
    if dice.chance(25) {
        flow.throttle = Some(Throttle {
            limit: dice.between(1, 4),
            period_s: period_s(dice),
            burst: dice.pick(&[0, 0, 1, 3]),
            key: dice.pick(&Key::ALL),
        });
    }
    if dice.chance(20) {
        flow.rate_limit = Some(RateLimit {
            limit: dice.pick(&[1, 2, 3, 10, 25]),
            period_s: period_s(dice),
            key: dice.pick(&Key::ALL),
        });
    }
    if dice.chance(6) {
        flow.idempotency = Some(dice.pick(&[Key::User, Key::Number, Key::IsUserOne, Key::Broken]));
    }
    if dice.chance(15) {
        flow.priority = Some(if dice.chance(85) {
            Priority::ByNumber(dice.pick(&[-600, -1, 1, 60, 100_000]))
        } else {
            Priority::Broken
        });
    }
    flow
}

fn limit(dice: &mut Dice) -> Limit {
    let scope = dice.pick(&[
        Scope::Function,
        Scope::Function,
        Scope::Environment,
        Scope::Account,
    ]);
    let key = dice.pick(&Key::ALL);
    Limit {
        limit: usize::try_from(dice.between(1, 3)).expect("a small number"),
        // Values that count across functions need a key.
        key: if scope != Scope::Function && key == Key::None {
            Key::User
        } else {
            key
        },
        scope,
    }
}

/// A program in the making.
struct Drawing<'d> {
    dice: &'d mut Dice,
    span_ms: u64,
    steps: usize,
}

impl Drawing<'_> {
    fn program(&mut self) -> Program {
        let body = self.sequence(0, 0, 4, false);
        let ending = match self.dice.below(10) {
            0 => Ending::Throws { no_retry: false },
            1 => Ending::Throws { no_retry: true },
            _ => Ending::Returns,
        };
        Program { body, ending }
    }

    fn sequence(&mut self, depth: u32, least: u64, most: u64, in_race: bool) -> Vec<Node> {
        let mut nodes = Vec::new();
        for _ in 0..self.dice.between(least, most) {
            if self.steps >= STEPS_MAX {
                break;
            }
            nodes.push(self.node(depth, in_race));
        }
        nodes
    }

    fn node(&mut self, depth: u32, in_race: bool) -> Node {
        match self.dice.below(100) {
            0..=54 => Node::Step(self.step(in_race)),
            55..=69 => Node::Sleep(self.sleep()),
            70..=75 if depth == 0 => Node::Stumble(Stumble {
                times: self.dice.pick(&[1, 1, 2, 5]),
                no_retry: self.dice.chance(15),
            }),
            76..=89 if depth < DEPTH_MAX => Node::All(self.branches(depth, in_race)),
            90..=99 if depth < DEPTH_MAX => Node::Race(self.branches(depth, true)),
            _ => Node::Step(self.step(in_race)),
        }
    }

    fn branches(&mut self, depth: u32, in_race: bool) -> Vec<Vec<Node>> {
        (0..self.dice.between(2, 3))
            .map(|_| {
                let mut branch = self.sequence(depth + 1, 1, 2, in_race);
                if branch.is_empty() {
                    branch.push(Node::Step(self.step(in_race)));
                }
                branch
            })
            .collect()
    }

    fn step(&mut self, in_race: bool) -> Step {
        self.steps += 1;
        let name = format!("s{}", self.steps);
        let times = self.dice.pick(&[1, 1, 2, 6]);
        let conduct = match self.dice.below(20) {
            0..=12 => Conduct::Succeeds,
            13..=15 => Conduct::Flaky(times),
            16 if !in_race => Conduct::Collapses(times),
            17 => Conduct::Breaks,
            18 => Conduct::RefusesRetry,
            _ => Conduct::Succeeds,
        };
        // A branch of a race that fails would make its outcome depend on who comes first.
        let caught = in_race || self.dice.chance(60);
        Step {
            id: StepId::of(&name, 0),
            name,
            conduct,
            caught,
        }
    }

    fn sleep(&mut self) -> Sleep {
        self.steps += 1;
        let name = format!("z{}", self.steps);
        let ms = match self.dice.below(10) {
            0 => 0,
            1 => self.dice.below(50),
            _ => self.dice.below(self.span_ms),
        };
        Sleep {
            id: StepId::of(&name, 0),
            name,
            ms,
        }
    }
}
