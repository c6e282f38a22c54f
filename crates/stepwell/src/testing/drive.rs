//! Letting virtual time pass: from rest to rest, and between them to what is due next.

use super::agenda::Deed;
use super::app::{TestApp, ms};
use super::error::TestError;
use std::time::Instant;
use stepwell_engine::{RunStatus, StepDetail, Timestamp, Verdict};
use stepwell_protocol::{EventId, RunId};
use stepwell_runtime::Rest;

/// Unfinished runs that an error shows.
const SHOWN_MAX: usize = 5;

/// Until when time passes.
#[derive(Debug)]
pub(super) enum Goal {
    /// All runs that the event starts have ended.
    Event(EventId, String),
    /// The run has ended.
    Run(RunId),
    /// Nothing is left to do.
    Settled,
    /// This moment.
    Until(Timestamp),
}

/// How far a goal is.
enum Distance {
    Reached,
    /// Time has to pass.
    Ahead,
}

impl TestApp {
    pub(super) async fn drive(&self, goal: Goal) -> Result<(), TestError> {
        let driven = self.drive_to(&goal).await;
        self.noting(driven)
    }

    async fn drive_to(&self, goal: &Goal) -> Result<(), TestError> {
        let _driving = self.driving.lock().await;
        let (since, real_since) = (self.clock_now(), Instant::now());
        let limit = match goal {
            Goal::Until(moment) => *moment,
            _ => since.after_ms(ms(self.parts.limits.virtual_time)),
        };
        loop {
            let rest = self.rest(goal, real_since).await?;
            if let Some(deed) = self.agenda.take_due(self.clock_now()) {
                self.perform(deed).await?;
                continue;
            }
            if let Distance::Reached = self.distance(goal, rest)? {
                return Ok(());
            }
            let put_off = self.agenda.next_due();
            let is_timed = matches!(goal, Goal::Until(_));
            if !is_timed && rest.due_besides_ticks.is_none() && put_off.is_none() {
                return Err(TestError::NeverEnds {
                    awaited: self.awaited(goal),
                    waiting: self.waiting().await,
                });
            }
            let next = rest.due.into_iter().chain(put_off).min();
            match next.filter(|next| *next <= limit) {
                Some(next) => self.parts.clock.advance_to(next),
                None if is_timed => {
                    self.parts.clock.advance_to(limit);
                    return Ok(());
                }
                None => {
                    return Err(TestError::VirtualTime {
                        awaited: self.awaited(goal),
                        days: limit.ms_since(since) / (24 * 60 * 60 * 1_000),
                        since: super::app::moment(since),
                        waiting: self.waiting().await,
                    });
                }
            }
        }
    }

    /// Waits until nothing is under way, whatever engines it takes.
    async fn rest(&self, goal: &Goal, since: Instant) -> Result<Rest, TestError> {
        let rest = async {
            let mut life = self.lives().alive().await?;
            loop {
                match life.handle.rest().await {
                    Ok(rest) => return Ok(rest),
                    Err(_) => life = self.lives().after(&life).await?,
                }
            }
        };
        let patience = self.parts.limits.real_time;
        match tokio::time::timeout(patience.saturating_sub(since.elapsed()), rest).await {
            Ok(rest) => rest,
            Err(_) => Err(TestError::RealTime {
                awaited: self.awaited(goal),
                after: patience,
                waiting: self.waiting().await,
            }),
        }
    }

    async fn perform(&self, deed: Deed) -> Result<(), TestError> {
        match deed {
            Deed::Send(event) => self.send(*event).await.map(drop),
            Deed::Signal(signal, data) => self.deliver_signal(&signal, data).await.map(drop),
        }
    }

    fn distance(&self, goal: &Goal, rest: Rest) -> Result<Distance, TestError> {
        let reached = match goal {
            Goal::Event(id, name) => {
                let runs = self.reader().runs_of_event(*id)?;
                let verdicts = self.reader().verdicts(*id)?;
                let is_pending = verdicts.iter().any(|(function, verdict)| match verdict {
                    Verdict::Debounced { closes_ms } | Verdict::Batched { closes_ms } => {
                        // A batch that is full does not wait for its time.
                        let has_started = runs.iter().any(|run| run.function == *function);
                        *closes_ms > self.clock_now().ms() && !has_started
                    }
                    _ => false,
                });
                if runs.is_empty() && !is_pending {
                    return Err(TestError::NoRun {
                        event: name.clone(),
                        why: self.why_no_run(*id)?,
                    });
                }
                !is_pending && runs.iter().all(|run| run.status.has_ended())
            }
            Goal::Run(id) => match self.reader().run(*id)? {
                Some(run) => run.status.has_ended(),
                None => {
                    return Err(TestError::Stopped {
                        reason: format!("run {id} is not there"),
                    });
                }
            },
            Goal::Settled => {
                let unfinished = [RunStatus::Scheduled, RunStatus::Running];
                rest.due_besides_ticks.is_none()
                    && self.agenda.next_due().is_none()
                    && self.find_runs(&unfinished)?.is_empty()
            }
            Goal::Until(moment) => {
                let next = rest.due.into_iter().chain(self.agenda.next_due()).min();
                *moment <= self.clock_now() && next.is_none_or(|next| next > *moment)
            }
        };
        Ok(match reached {
            true => Distance::Reached,
            false => Distance::Ahead,
        })
    }

    fn why_no_run(&self, event: EventId) -> Result<String, TestError> {
        let verdicts = self.verdicts(event)?;
        if verdicts.is_empty() {
            return Ok(": no function listens to it".to_owned());
        }
        let texts = verdicts
            .into_iter()
            .map(|(function, verdict)| format!("\n  {function}: {verdict}"));
        Ok(texts.collect())
    }

    fn awaited(&self, goal: &Goal) -> String {
        match goal {
            Goal::Event(_, name) => format!("what event '{name}' started has not ended"),
            Goal::Run(run) => format!("run {run} has not ended"),
            Goal::Settled => "the app has not settled".to_owned(),
            Goal::Until(moment) => {
                format!("{} has not come", super::app::moment(*moment))
            }
        }
    }

    /// What the unfinished runs wait for, and their histories.
    async fn waiting(&self) -> String {
        let unfinished = [RunStatus::Scheduled, RunStatus::Running];
        // An error is being told; one more about it would hide it.
        let mut runs = self.find_runs(&unfinished).unwrap_or_default();
        let count = runs.len();
        runs.truncate(SHOWN_MAX);
        let mut text = String::new();
        for run in runs {
            let name = self.parts.names.of(run.function);
            text.push_str(&format!("\n\nrun {} of {name} waits", run.id));
            for cause in self.causes(run.id).await {
                text.push_str(&format!("\n  {cause}"));
            }
            if let Ok(run) = self.run_by_id(run.id) {
                text.push_str(&format!("\n{}", run.history()));
            }
        }
        if count > SHOWN_MAX {
            text.push_str(&format!("\n\nand {} more runs", count - SHOWN_MAX));
        }
        text
    }

    async fn causes(&self, run: RunId) -> Vec<String> {
        let items = self.reader().items(run).unwrap_or_default();
        let under_way = match self.lives().alive().await {
            Ok(life) => life.handle.under_way(run).await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let causes = items.iter().map(|item| {
            let step = item.kind.own_step().map(|step| {
                let named = self.parts.stand_ins.label_of(step);
                named.unwrap_or_else(|| step.to_string())
            });
            let step = step.map_or_else(String::new, |step| format!("in step \"{step}\" "));
            let until = super::app::moment(item.due);
            if under_way.iter().any(|call| call.item == item.id) {
                return format!("{step}for a call that is at work");
            }
            match StepDetail::of_item(item) {
                Some(StepDetail::WaitForEvent {
                    event, condition, ..
                }) => {
                    let condition = condition
                        .map_or_else(String::new, |condition| format!(" with {condition}"));
                    format!("{step}for event '{event}'{condition}, until {until}")
                }
                Some(StepDetail::WaitForSignal { signal, .. }) => {
                    format!("{step}for signal '{signal}', until {until}")
                }
                Some(StepDetail::Invoke { function, .. }) => {
                    format!("{step}for function '{function}', until {until}")
                }
                _ => format!(
                    "{step}for its time, {until}, or its turn ({})",
                    item.kind.as_str()
                ),
            }
        });
        causes.collect()
    }
}
