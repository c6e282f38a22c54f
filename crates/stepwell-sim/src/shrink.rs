//! Shrinking: the same promise broken by less.

use crate::invariant::Violation;
use crate::plan::Body;
use crate::plan::gather::Gather;
use crate::plan::program::Node;
use crate::report::Story;
use crate::scenario::{Act, Scenario};
use crate::world::run;

/// What is left of a scenario that fails.
#[derive(Debug)]
pub struct Shrunk {
    /// The least that still fails.
    pub scenario: Scenario,
    /// How it fails.
    pub violation: Violation,
    /// What happens in it.
    pub story: Story,
    /// How many scenarios were played on the way.
    pub tries: usize,
}

/// Takes away from a failing scenario what it does not need to break the same promise; plays at most `tries_max`
/// scenarios. `None` when it does not fail.
#[must_use]
pub fn shrink(scenario: &Scenario, tries_max: usize) -> Option<Shrunk> {
    let violation = run(scenario, Story::unheard()).violation?;
    let mut search = Search {
        best: scenario.clone(),
        invariant: violation.invariant,
        tries: 1,
        tries_max,
    };
    loop {
        let before = search.tries;
        let smaller = search.fewer_faults()
            | search.fewer_acts()
            | search.fewer_events()
            | search.less_code()
            | search.less_configuration();
        if !smaller || search.tries >= tries_max || search.tries == before {
            break;
        }
    }
    let outcome = run(&search.best, Story::kept());
    Some(Shrunk {
        violation: outcome.violation.unwrap_or(violation),
        scenario: search.best,
        story: outcome.story,
        tries: search.tries + 1,
    })
}

struct Search {
    best: Scenario,
    invariant: &'static str,
    tries: usize,
    tries_max: usize,
}

impl Search {
    /// Plays a smaller scenario, and keeps it if it breaks the same promise.
    fn attempt(&mut self, candidate: Scenario) -> bool {
        if self.tries >= self.tries_max {
            return false;
        }
        self.tries += 1;
        let violation = run(&candidate, Story::unheard()).violation;
        let fails = violation.is_some_and(|violation| violation.invariant == self.invariant);
        if fails {
            self.best = candidate;
        }
        fails
    }

    /// Drops stretches of a list, long ones first, as long as so many are left.
    fn drop_parts<T: Clone>(
        &mut self,
        least: usize,
        list: impl Fn(&mut Scenario) -> Option<&mut Vec<T>>,
    ) -> bool {
        let mut len = match list(&mut self.best) {
            Some(found) => found.len(),
            None => return false,
        };
        let mut smaller = false;
        while len > 0 {
            let mut at = 0;
            loop {
                let mut candidate = self.best.clone();
                let Some(parts) = list(&mut candidate).filter(|parts| at < parts.len()) else {
                    break;
                };
                parts.drain(at..(at + len).min(parts.len()));
                if parts.len() < least {
                    at += len;
                    continue;
                }
                if self.attempt(candidate) {
                    smaller = true;
                } else {
                    at += len;
                }
            }
            len /= 2;
        }
        smaller
    }

    fn fewer_faults(&mut self) -> bool {
        self.drop_parts(0, |scenario| Some(&mut scenario.faults))
    }

    fn fewer_acts(&mut self) -> bool {
        self.drop_parts(0, |scenario| Some(&mut scenario.script))
    }

    fn fewer_events(&mut self) -> bool {
        let mut smaller = false;
        for at in 0..self.best.script.len() {
            smaller |= self.drop_parts(1, |scenario| match &mut scenario.script.get_mut(at)?.act {
                Act::Send(events) if events.len() > 1 => Some(events),
                _ => None,
            });
        }
        smaller
    }

    fn less_code(&mut self) -> bool {
        let mut smaller = false;
        for app in 0..self.best.apps.len() {
            for function in 0..self.best.apps[app].functions.len() {
                smaller |= self.drop_parts(0, |scenario| {
                    match &mut scenario.apps[app].functions[function].body {
                        Body::Program(program) => Some::<&mut Vec<Node>>(&mut program.body),
                        Body::Liar => None,
                    }
                });
            }
        }
        smaller
    }

    fn less_configuration(&mut self) -> bool {
        let mut smaller = false;
        for app in 0..self.best.apps.len() {
            for function in 0..self.best.apps[app].functions.len() {
                for variant in 0..self.best.apps[app].functions[function].variants.len() {
                    let simpler: [fn(&mut crate::plan::Variant) -> bool; 12] = [
                        |variant| !std::mem::take(&mut variant.flow.concurrency).is_empty(),
                        |variant| variant.flow.throttle.take().is_some(),
                        |variant| variant.flow.rate_limit.take().is_some(),
                        |variant| variant.flow.idempotency.take().is_some(),
                        |variant| variant.flow.priority.take().is_some(),
                        |variant| variant.crons.pop().is_some(),
                        |variant| variant.flow.singleton.take().is_some(),
                        |variant| {
                            let gather = std::mem::take(&mut variant.gather);
                            !matches!(gather, Gather::Nothing)
                        },
                        |variant| variant.cutoff.events.pop().is_some(),
                        |variant| variant.cutoff.start_ms.take().is_some(),
                        |variant| variant.cutoff.finish_ms.take().is_some(),
                        |variant| variant.triggers.len() > 1 && variant.triggers.pop().is_some(),
                    ];
                    for simplify in simpler {
                        let mut candidate = self.best.clone();
                        let function = &mut candidate.apps[app].functions[function];
                        if simplify(&mut function.variants[variant]) {
                            smaller |= self.attempt(candidate);
                        }
                    }
                }
            }
        }
        smaller
    }
}
