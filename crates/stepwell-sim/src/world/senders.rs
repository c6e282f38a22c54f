//! Who sends events, registers apps and cancels runs.

use super::decider::Asker;
use super::{Happening, Phase, World};
use crate::dice::Dice;
use crate::invariant::Violation;
use crate::ledger::{Cause, Sent};
use crate::plan::wait::signal_name;
use crate::scenario::{Identity, Sending};
use serde_json::json;
use stepwell_engine::{Input, NewEvent, Timestamp};
use stepwell_protocol::{EventId, FunctionId, shared_json};

/// Events of one request, sent until they are accepted.
pub(super) struct Letter {
    events: Vec<Sending>,
    tries: u32,
}

impl Letter {
    pub(super) fn new(events: &[Sending]) -> Self {
        Self {
            events: events.to_vec(),
            tries: 0,
        }
    }
}

impl World<'_> {
    pub(super) fn letter_arrives(&mut self, number: usize) -> Result<(), Violation> {
        if self.phase != Phase::Up || self.draining {
            self.after(self.again_ms(), Happening::Letter(number));
            return Ok(());
        }
        self.letters[number].tries += 1;
        let tries = self.letters[number].tries;
        let sendings = self.letters[number].events.clone();
        let (mut events, mut sent) = (Vec::new(), Vec::new());
        for sending in sendings {
            let (event, known) = self.event(sending);
            self.tell(|| {
                let again = if tries > 1 { ", again" } else { "" };
                let identity = known.identity.as_deref().unwrap_or("nothing");
                format!(
                    "event {} {} {:?} of identity {identity} comes in{again}",
                    known.id, known.name, known.data
                )
            });
            events.push(event);
            sent.push(known);
        }
        self.decide(
            Input::EventsReceived(events),
            Cause::Events(sent),
            Asker::Letter(number),
        )
    }

    fn event(&mut self, sending: Sending) -> (NewEvent, Sent) {
        let wall = self.clock.wall();
        let (id, external_id) = match sending.identity {
            Identity::None => (self.ids.event_id(wall), None),
            Identity::External(number) => (self.ids.event_id(wall), Some(format!("k{number}"))),
            Identity::Seeded(number) => (seeded_id(sending, number), None),
        };
        let ts = wall.after_ms(sending.later_ms);
        let ts_ms = i64::try_from(ts.ms()).expect("a moment of this era");
        let data = json!({"u": sending.data.user, "n": sending.data.number});
        let body = json!({"name": sending.name, "data": data, "ts": ts_ms}).to_string();
        let repeatable = sending.identity != Identity::None;
        let identity = repeatable.then(|| external_id.clone().unwrap_or_else(|| id.to_string()));
        let event = NewEvent {
            id,
            name: sending.name.into(),
            external_id,
            ts_ms,
            repeatable,
            body: shared_json(body).expect("serialised JSON is JSON"),
        };
        let sent = Sent {
            id,
            name: sending.name,
            identity,
            data: sending.data,
            ts,
            received: None,
        };
        (event, sent)
    }

    pub(super) fn letter_answered(&mut self, number: usize) {
        self.tell(|| format!("letter {number} is accepted"));
    }

    pub(super) fn register(&mut self, app: usize, version: usize) -> Result<(), Violation> {
        if self.phase != Phase::Up || self.draining {
            self.after(self.again_ms(), Happening::Register { app, version });
            return Ok(());
        }
        let plan = &self.scenario.apps[app];
        self.tell(|| format!("{} registers its version {version}", plan.name));
        let quiet = self.calm;
        let sync = plan.sync(version, quiet);
        let cause = Cause::Registered {
            app,
            version,
            quiet,
        };
        let asker = Asker::App { app, version };
        self.decide(Input::AppSynced(Box::new(sync)), cause, asker)
    }

    pub(super) fn signal(&mut self, signal: u64) -> Result<(), Violation> {
        if self.phase != Phase::Up || self.draining {
            return Ok(());
        }
        let signal = signal_name(signal);
        self.values += 1;
        let data = shared_json(self.values.to_string()).expect("a number is JSON");
        self.tell(|| format!("signal {signal} comes"));
        let cause = Cause::Signal(signal.clone());
        self.decide(Input::SignalSent { signal, data }, cause, Asker::Nobody)
    }

    pub(super) fn pause(&mut self, function: FunctionId, paused: bool) -> Result<(), Violation> {
        if self.phase != Phase::Up {
            self.after(self.again_ms(), Happening::Pause { function, paused });
            return Ok(());
        }
        if self.calm && paused {
            return Ok(());
        }
        let title = self.ledger.title(function);
        self.tell(|| format!("someone wants {title} paused: {paused}"));
        let cause = Cause::Paused { function, paused };
        let asker = Asker::Pauser { function, paused };
        self.decide(Input::FunctionPaused { function, paused }, cause, asker)
    }

    pub(super) fn cancel(&mut self, which: u64) -> Result<(), Violation> {
        let runs = self.ledger.runs.len();
        if self.phase != Phase::Up || runs == 0 {
            return Ok(());
        }
        let place = usize::try_from(which).expect("a small number") % runs;
        let Some((run, _)) = self.ledger.runs.get_index(place) else {
            return Ok(());
        };
        let run = *run;
        let name = self.ledger.name_of(run);
        self.tell(|| format!("someone cancels {name}"));
        self.decide(Input::CancelRun(run), Cause::Cancel(run), Asker::Nobody)
    }
}

/// The id that a request's seed gives an event: the same each time it is sent.
fn seeded_id(sending: Sending, number: u64) -> EventId {
    let name = u64::from(sending.name.as_bytes()[sending.name.len() - 1]);
    let numbers = [
        number,
        name,
        sending.data.user,
        sending.data.number,
        sending.later_ms,
    ];
    let mut dice = Dice::of(number, "seeded", &numbers);
    let mut bytes = [0; 16];
    for byte in &mut bytes[6..] {
        *byte = u8::try_from(dice.below(256)).expect("a byte");
    }
    let moment = Timestamp::from_ms(1_767_225_600_000).ms().to_be_bytes();
    bytes[..6].copy_from_slice(&moment[2..]);
    EventId::from_bytes(bytes)
}
