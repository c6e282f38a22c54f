//! Plans as people read them.

use super::cron::Cron;
use super::flow::{Flow, Key, Priority};
use super::program::{Conduct, Ending, Node, Program};
use super::{App, Body, Function, Variant};
use stepwell_protocol::span::format_ms;

impl App {
    /// A line for each function, each of its variants, and each registration.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        for function in &self.functions {
            text.push_str(&function.describe(&self.name));
        }
        for (number, version) in self.versions.iter().enumerate() {
            let held = self.functions.iter().zip(&version.variants);
            let held: Vec<String> = held
                .filter_map(|(function, variant)| {
                    variant.map(|variant| format!("{} as {variant}", function.slug))
                })
                .collect();
            let moved = if version.moved { ", moved" } else { "" };
            let held = held.join(", ");
            text.push_str(&format!("{} version {number}: {held}{moved}\n", self.name));
        }
        text
    }
}

impl Function {
    fn describe(&self, app: &str) -> String {
        let body = match &self.body {
            Body::Program(program) => program.describe(),
            Body::Liar => "answers anything".to_owned(),
        };
        let mut traits = vec![
            format!("{} retries", self.retries),
            format!("request version {}", self.speaks),
        ];
        if let Some(most) = self.checkpoints {
            let says = if self.says_generation {
                ""
            } else {
                " unsigned"
            };
            traits.push(format!("checkpoints every {most}{says}"));
        }
        if !self.abandons {
            traits.push("waits for all it started".to_owned());
        }
        let mut text = format!("{app}-{} ({}): {body}\n", self.slug, traits.join(", "));
        for (number, variant) in self.variants.iter().enumerate() {
            text.push_str(&format!("  as {number}: {}\n", variant.describe()));
        }
        text
    }
}

impl Variant {
    fn describe(&self) -> String {
        let mut parts: Vec<String> = self
            .triggers
            .iter()
            .map(|trigger| match trigger.condition {
                None => format!("on {}", trigger.event),
                Some(condition) => format!("on {} if {}", trigger.event, condition.expression()),
            })
            .collect();
        parts.extend(self.crons.iter().map(Cron::describe));
        parts.extend(self.flow.describe());
        parts.extend(self.cutoff.describe());
        parts.extend(self.gather.describe());
        parts.join(", ")
    }
}

impl Flow {
    fn describe(&self) -> Vec<String> {
        let by = |key: Key| {
            key.expression()
                .map_or_else(String::new, |key| format!(" by {key}"))
        };
        let mut parts: Vec<String> = self
            .concurrency
            .iter()
            .map(|limit| {
                let key = by(limit.key);
                format!("at most {} at once{key} ({:?})", limit.limit, limit.scope)
            })
            .collect();
        if let Some(throttle) = self.throttle {
            let key = by(throttle.key);
            parts.push(format!(
                "throttle {} in {} s, burst {}{key}",
                throttle.limit, throttle.period_s, throttle.burst
            ));
        }
        if let Some(rate) = self.rate_limit {
            let key = by(rate.key);
            parts.push(format!(
                "rate limit {} in {} s{key}",
                rate.limit, rate.period_s
            ));
        }
        if let Some(key) = self.idempotency {
            parts.push(format!("once a day{}", by(key)));
        }
        if let Some(singleton) = self.singleton {
            let mode = if singleton.cancels { ", the last" } else { "" };
            parts.push(format!("one at a time{}{mode}", by(singleton.key)));
        }
        match self.priority {
            Some(Priority::ByNumber(seconds)) => parts.push(format!("priority n * {seconds}")),
            Some(Priority::Broken) => parts.push("a broken priority".to_owned()),
            None => {}
        }
        parts
    }
}

impl Program {
    fn describe(&self) -> String {
        let mut parts = sequence(&self.body);
        parts.push(match self.ending {
            Ending::Returns => "return".to_owned(),
            Ending::Throws { no_retry: false } => "throw".to_owned(),
            Ending::Throws { no_retry: true } => "throw for good".to_owned(),
        });
        parts.join("; ")
    }
}

fn sequence(nodes: &[Node]) -> Vec<String> {
    nodes.iter().map(node).collect()
}

fn node(node: &Node) -> String {
    let branches = |branches: &[Vec<Node>]| {
        let branches: Vec<String> = branches
            .iter()
            .map(|branch| sequence(branch).join("; "))
            .collect();
        branches.join(" | ")
    };
    match node {
        Node::Step(step) => {
            let conduct = match step.conduct {
                Conduct::Succeeds => return step.name.clone(),
                Conduct::Flaky(times) => format!("fails {times}x"),
                Conduct::Collapses(times) => format!("takes the call with it {times}x"),
                Conduct::Breaks => "breaks".to_owned(),
                Conduct::RefusesRetry => "refuses retries".to_owned(),
            };
            let caught = if step.caught { ", caught" } else { "" };
            format!("{} ({conduct}{caught})", step.name)
        }
        Node::Sleep(sleep) => format!("{} (sleeps {})", sleep.name, format_ms(sleep.ms)),
        Node::Wait(wait) => wait.describe(),
        Node::Defer(defer) => defer.describe(),
        Node::Stumble(stumble) if stumble.no_retry => "throw for good".to_owned(),
        Node::Stumble(stumble) => format!("throw {}x", stumble.times),
        Node::All(parts) => format!("all {{ {} }}", branches(parts)),
        Node::Race(parts) => format!("race {{ {} }}", branches(parts)),
    }
}
