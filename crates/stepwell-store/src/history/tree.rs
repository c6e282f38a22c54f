//! Rows become a tree.

use super::attempts::{Failures, Series};
use super::notes;
use super::{OutputId, Skip, Span, SpanStatus, StepInfo, StepOp, hash, root_id};
use crate::{AttemptRecord, History, StepOutline};
use std::collections::HashSet;
use stepwell_engine::{ItemId, ItemKind, ItemRow, RunStatus, StepDetail, Timestamp, UnderWay};
use stepwell_protocol::StepId;

/// A call whose outcome is still to come, or came to nothing that has a name.
const EXECUTE: &str = "execute";
const FUNCTION_SUCCESS: &str = "function success";
const FUNCTION_ERROR: &str = "function error";
/// A run whose function is gone.
const RUN: &str = "Run";

/// The run's span, with all others below it.
pub(super) fn root(history: &History, under_way: &[UnderWay]) -> Span {
    let mut tree = Tree {
        history,
        under_way,
        id: root_id(history.run.id),
        failures: Failures::new(&history.attempts),
        told: HashSet::new(),
    };
    let run = &history.run;
    // What is tried right now first: its failures are nobody else's.
    let open: Vec<_> = history
        .items
        .iter()
        .map(|item| tree.failures.take_open(item))
        .collect();
    let mut children: Vec<Span> = history.steps.iter().map(|step| tree.step(step)).collect();
    let items = history.items.iter().zip(open);
    children.extend(items.filter_map(|(item, open)| tree.item(item, open)));
    let end = tree.function_end();
    children.extend(tree.rest());
    // Of what began in the same millisecond, what ended first comes first.
    children.sort_by_key(|span| span.started_at.unwrap_or(span.queued_at));
    children.extend(end);
    let name = history.function.as_ref().map(|function| &function.name);
    let mut root = Span {
        status: status_of(run.status),
        started_at: run.started_at,
        ended_at: run.ended_at,
        output: run.output.as_ref().map(|_| OutputId::Run(run.id)),
        skip: run.cause.and_then(Skip::of),
        children,
        parent: None,
        ..tree.span(
            "run",
            name.map_or(RUN, |name| name),
            SpanStatus::Queued,
            run.queued_at,
        )
    };
    notes::attach(&mut root, history);
    root
}

fn status_of(status: RunStatus) -> SpanStatus {
    match status {
        RunStatus::Scheduled => SpanStatus::Queued,
        RunStatus::Running => SpanStatus::Running,
        RunStatus::Completed => SpanStatus::Completed,
        RunStatus::Failed => SpanStatus::Failed,
        RunStatus::Cancelled => SpanStatus::Cancelled,
        RunStatus::Skipped => SpanStatus::Skipped,
    }
}

/// The id of a part of the run: the first 8 bytes of its hash.
fn id(history: &History, what: &str) -> String {
    hex::encode(&hash(history.run.id, what)[..8])
}

fn attempt_key(item: ItemId, series: usize, attempt: usize) -> String {
    format!("attempt {item} {series} {attempt}")
}

/// The latest attempt of a span that had failures before.
struct Latest {
    key: String,
    status: SpanStatus,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    output: Option<OutputId>,
}

struct Tree<'a> {
    history: &'a History,
    under_way: &'a [UnderWay],
    /// The root's.
    id: String,
    failures: Failures<'a>,
    /// Steps that have a span.
    told: HashSet<StepId>,
}

impl<'a> Tree<'a> {
    /// A span below the root with nothing else to it.
    fn span(&self, key: &str, name: &str, status: SpanStatus, queued_at: Timestamp) -> Span {
        Span {
            id: id(self.history, key),
            parent: Some(self.id.clone()),
            name: name.to_owned(),
            status,
            attempts: 0,
            step: None,
            op: None,
            kind: None,
            info: None,
            queued_at,
            started_at: None,
            ended_at: None,
            output: None,
            http_status: None,
            skip: None,
            metadata: Vec::new(),
            userland: None,
            children: Vec::new(),
        }
    }

    /// A span of a call whose outcome has no name.
    fn call_span(&self, item: ItemId, series: usize) -> Span {
        let (key, queued_at) = (format!("call {item} {series}"), Timestamp::default());
        self.span(&key, EXECUTE, SpanStatus::Running, queued_at)
    }

    /// A span of a step.
    fn step_span(
        &mut self,
        step: &StepId,
        name: &str,
        op: StepOp,
        detail: Option<StepDetail>,
        ended_at: Option<Timestamp>,
    ) -> Span {
        let kind = match &detail {
            Some(StepDetail::Run { kind }) => kind.clone(),
            _ => op.as_str().to_owned(),
        };
        let info = detail.map(|detail| StepInfo::of(detail, ended_at, &self.history.invoked));
        let plain = (op == StepOp::Run).then_some(StepInfo::Run { kind: None });
        let id = step.to_string();
        let name = if name.is_empty() { &*id } else { name };
        let queued_at = Timestamp::default();
        self.told.insert(step.clone());
        Span {
            step: Some(step.clone()),
            op: Some(op),
            kind: Some(kind),
            info: info.or(plain),
            ended_at,
            ..self.span(&step_key(step), name, SpanStatus::Running, queued_at)
        }
    }

    /// An ended step.
    fn step(&mut self, step: &StepOutline) -> Span {
        let op = StepOp::of(&step.op);
        // What waits was asked for by a call that went well then; what ran was reported by it in the end.
        let reported_at = match op {
            StepOp::Run => step.ended_at,
            _ => step.queued_at,
        };
        let led_to_it = step
            .failures_of
            .and_then(|item| self.failures.take_before(item, &step.step, reported_at));
        let mut failed: Vec<Series<'a>> = led_to_it.into_iter().collect();
        failed.extend(self.failures.take_of(&step.step, step.ended_at));
        let run = self.history.run.id;
        let output = OutputId::Step(run, step.step.clone());
        let mut span = Span {
            status: match step.failed {
                true => SpanStatus::Failed,
                false => SpanStatus::Completed,
            },
            queued_at: step.queued_at,
            started_at: Some(step.started_at),
            output: (op != StepOp::Sleep).then_some(output),
            ..self.step_span(
                &step.step,
                &step.name,
                op,
                step.detail.clone(),
                Some(step.ended_at),
            )
        };
        let is_its_end = |attempt: &AttemptRecord| {
            attempt.retry_at.is_none() && attempt.step.as_ref() == Some(&step.step)
        };
        let failed_for_good = failed
            .last()
            .is_some_and(|series| step.failed && is_its_end(series.last()));
        let latest = (!failed_for_good).then(|| Latest {
            key: self.next_key(&failed, Some(&step.step)),
            status: span.status,
            started_at: span.started_at,
            ended_at: span.ended_at,
            output: span.output.clone(),
        });
        self.put_attempts(&mut span, &failed, latest);
        span
    }

    /// What is queued or waits, as far as it has begun. `open` is what failed before the attempt that it is at.
    fn item(&mut self, item: &ItemRow, open: Option<Series<'a>>) -> Option<Span> {
        let since = self
            .under_way
            .iter()
            .find(|call| call.item == item.id)
            .map(|call| call.since);
        let op = match &item.kind {
            ItemKind::Announce => return None,
            ItemKind::Start | ItemKind::Discovery(_) | ItemKind::Step(_) | ItemKind::Endpoint => {
                StepOp::Run
            }
            ItemKind::Gateway(_) => StepOp::Gateway,
            ItemKind::Sleep(_) => StepOp::Sleep,
            ItemKind::WaitForEvent(_) => StepOp::WaitForEvent,
            ItemKind::WaitForSignal(_) => StepOp::WaitForSignal,
            ItemKind::Invoke(_) => StepOp::Invoke,
        };
        let last_step = self.history.steps.last().map(|step| step.ended_at);
        let since = match item.kind {
            // The app executes the function, and has told of its steps so far.
            ItemKind::Endpoint => last_step.or(self.history.run.started_at),
            _ => since,
        };
        let begun = since.is_some() || open.is_some() || item.failures_of.is_some();
        if op.is_attempted() && !begun {
            return None;
        }
        let made_at = item.id.made_at();
        let step = item.kind.own_step();
        let mut span = match step.filter(|step| !self.told.contains(*step)) {
            Some(step) => {
                let title = item.title.as_deref().unwrap_or("");
                let detail = StepDetail::of_item(item);
                self.step_span(step, title, op, detail, None)
            }
            // What comes next is still to be found out, or something else has recorded the step meanwhile.
            None => {
                let number = match &open {
                    Some(open) => open.number,
                    None => self.failures.count(item.id),
                };
                self.call_span(item.id, number)
            }
        };
        if !op.is_attempted() {
            span.started_at = Some(made_at);
            if op != StepOp::Invoke {
                span.status = SpanStatus::Waiting;
            }
        }
        span.started_at = span.started_at.or(since);
        span.queued_at = span.started_at.map_or(item.due, |at| at.min(item.due));
        let asker = item.failures_of.zip(span.step.as_ref());
        let led_to_it =
            asker.and_then(|(asker, step)| self.failures.take_before(asker, step, made_at));
        let failed: Vec<Series<'a>> = led_to_it.into_iter().chain(open).collect();
        let latest = Latest {
            key: self.next_key(&failed, span.step.as_ref()),
            status: match span.status {
                SpanStatus::Running if span.op != Some(StepOp::Invoke) && since.is_none() => {
                    SpanStatus::Queued
                }
                status => status,
            },
            started_at: span.started_at,
            ended_at: None,
            output: None,
        };
        self.put_attempts(&mut span, &failed, Some(latest));
        span.attempts = 0;
        Some(span)
    }

    /// The function's own end.
    fn function_end(&mut self) -> Option<Span> {
        let run = &self.history.run;
        let ended_at = run.ended_at?;
        let (name, status) = match run.status {
            RunStatus::Completed => (FUNCTION_SUCCESS, SpanStatus::Completed),
            RunStatus::Failed => (FUNCTION_ERROR, SpanStatus::Failed),
            _ => return None,
        };
        let failed = match run.last_call {
            Some(call) => self.failures.take_last_of(call.item),
            // A limit ended it, or it is from before last calls were recorded.
            None if status == SpanStatus::Failed => self.failures.take_last_failed(),
            None => None,
        };
        let failed: Vec<Series<'a>> = failed.into_iter().collect();
        let last_step = self.history.steps.last().map(|step| step.ended_at);
        let began = match run.last_call {
            Some(call) => call.started_at,
            None => last_step.or(run.started_at).unwrap_or(ended_at),
        };
        let output = run.output.as_ref().map(|_| OutputId::Run(run.id));
        let queued_at = run.last_call.map_or(began, |call| call.queued_at);
        let mut span = Span {
            started_at: Some(began),
            ended_at: Some(ended_at),
            output,
            http_status: run.last_call.and_then(|call| call.status),
            ..self.span("end", name, status, queued_at.min(began))
        };
        let latest = (status == SpanStatus::Completed).then(|| Latest {
            key: self.next_key(&failed, None),
            status,
            started_at: span.started_at,
            ended_at: span.ended_at,
            output: span.output.clone(),
        });
        self.put_attempts(&mut span, &failed, latest);
        Some(span)
    }

    /// What was cut short, and what failed before a call that had nothing new to report.
    fn rest(&mut self) -> Vec<Span> {
        let rest = self.failures.take_rest();
        rest.into_iter()
            .map(|series| {
                let last = series.last();
                let ended_at = Some(last.ended_at);
                let mut span = match (&last.step, &last.op) {
                    (Some(step), Some(op)) if !self.told.contains(step) => {
                        let detail = last.detail.clone();
                        Span {
                            ended_at,
                            ..self.step_span(step, &last.name, StepOp::of(op), detail, None)
                        }
                    }
                    _ => Span {
                        ended_at,
                        ..self.call_span(series.item, series.number)
                    },
                };
                span.status = match last.error {
                    Some(_) => SpanStatus::Completed,
                    None => SpanStatus::Cancelled,
                };
                span.queued_at = last.queued_at;
                span.started_at = Some(last.started_at);
                if series.attempts.len() > 1 || last.error.is_some() {
                    self.put_attempts(&mut span, &[series], None);
                }
                span.attempts = 0;
                span
            })
            .collect()
    }

    /// What names the attempt after those that failed.
    fn next_key(&self, failed: &[Series<'a>], step: Option<&StepId>) -> String {
        match failed.last() {
            Some(series) => attempt_key(series.item, series.number, series.attempts.len()),
            None => format!("attempt of {}", step.map(step_key).unwrap_or_default()),
        }
    }

    /// Puts attempts below a span, if any failed, and counts those that were its own.
    fn put_attempts(&self, span: &mut Span, failed: &[Series<'a>], latest: Option<Latest>) {
        let mut own = 0;
        let mut children = Vec::new();
        for series in failed {
            let mut queued_at: Option<Timestamp> = None;
            for (place, (index, attempt)) in series.attempts.iter().enumerate() {
                let is_own = attempt.step == span.step;
                own += usize::from(is_own);
                let key = attempt_key(series.item, series.number, place);
                let output = OutputId::Attempt(self.history.run.id, *index);
                let status = match attempt.error {
                    Some(_) => SpanStatus::Failed,
                    None => SpanStatus::Cancelled,
                };
                let began = attempt.started_at;
                let due = attempt.queued_at.min(began);
                let (op, kind) = match (&attempt.step, is_own) {
                    (None, _) => (None, None),
                    (Some(_), true) => (span.op, span.kind.clone()),
                    (Some(_), false) => (Some(StepOp::Run), None),
                };
                children.push(Span {
                    step: attempt.step.clone(),
                    op,
                    kind,
                    started_at: Some(began),
                    ended_at: Some(attempt.ended_at),
                    output: attempt.error.as_ref().map(|_| output),
                    ..self.span(&key, "", status, queued_at.map_or(due, |at| at.min(began)))
                });
                // The next one is queued when this one has failed.
                queued_at = Some(attempt.ended_at);
            }
        }
        let Some(first) = children.first() else {
            return;
        };
        let (first_queued, first_started) = (first.queued_at, first.started_at);
        if let Some(latest) = latest {
            let waits = span.op.is_some_and(|op| !op.is_attempted());
            let before = children.last().and_then(|before| before.ended_at);
            // A call that was made before the failure may have recorded the step.
            let queued_at = before.unwrap_or(span.queued_at);
            let queued_at = latest.started_at.map_or(queued_at, |at| at.min(queued_at));
            own += usize::from(!waits);
            children.push(Span {
                step: span.step.clone(),
                op: span.op,
                kind: span.kind.clone(),
                info: span.info.clone(),
                started_at: latest.started_at,
                ended_at: latest.ended_at,
                output: latest.output,
                ..self.span(&latest.key, "", latest.status, queued_at)
            });
        }
        for (index, child) in children.iter_mut().enumerate() {
            child.name = format!("Attempt {index}");
            child.parent = Some(span.id.clone());
            child.attempts = u32::try_from(index).unwrap_or(u32::MAX);
        }
        span.attempts = match own {
            0 | 1 => 0,
            own => u32::try_from(own).unwrap_or(u32::MAX),
        };
        span.queued_at = first_queued;
        span.started_at = first_started;
        span.children = children;
    }
}

fn step_key(step: &StepId) -> String {
    format!("step {step}")
}
