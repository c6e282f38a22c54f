//! The decider: the loop that turns inputs and time into batches.

use crate::clock::Clock;
use crate::committer::{Asker, Batch, Order, describe};
use crate::handle::Vitals;
use crate::rest::{Rest, Unanswered};
use crate::teller::ToTeller;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;
use stepwell_engine::{
    Answer, Census, Config, Decision, Engine, IdSource, Input, LoadError, Snapshot, Standing,
    UnderWay,
};
use stepwell_protocol::RunId;
use stepwell_store::StoreError;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Messages that are handled before a batch is handed over: bounds how long the first of them waits.
const MESSAGES_PER_TURN_MAX: usize = 1_024;
/// Messages after which a turn ends early if the committer has nothing to do: those who wait for this batch then go on
/// while the next one is written, instead of all at once.
const MESSAGES_PER_LOOK: usize = 32;
/// Longest sleep without a timer; only there because the wait needs some limit.
const IDLE: Duration = Duration::from_secs(60);

/// What the decider is told.
pub(crate) enum Message {
    /// Something happened.
    Input {
        input: Input,
        asker: Option<Asker>,
        /// Room in the queue, given back when the input has been dealt with.
        permit: Option<OwnedSemaphorePermit>,
    },
    /// The batch is written.
    Committed,
    /// The batch is not written.
    CommitFailed(StoreError),
    /// The store accepts writes again; these are its live rows.
    Recovered(Box<Snapshot>),
    /// The clock was moved by hand.
    ClockMoved,
    /// Say what a run waits for.
    Standing(RunId, oneshot::Sender<Option<Standing>>),
    /// Say which calls of a run are in flight.
    UnderWay(RunId, oneshot::Sender<Vec<UnderWay>>),
    /// Say how much there is of everything.
    Census(oneshot::Sender<Census>),
    /// Say when nothing is under way.
    Rest(oneshot::Sender<Rest>),
    /// Make no new calls; say when the last one has returned and everything is written.
    Drain(oneshot::Sender<()>),
    /// End now.
    Stop,
}

/// Whom the decider hears, and tells.
pub(crate) struct Wiring {
    pub(crate) messages: Receiver<Message>,
    pub(crate) committer: Sender<Order>,
    pub(crate) teller: ToTeller,
    /// How many batches are written.
    pub(crate) written: Arc<AtomicU64>,
    pub(crate) vitals: Arc<Vitals>,
}

pub(crate) struct Decider {
    engine: Engine,
    config: Config,
    clock: Clock,
    ids: IdSource,
    messages: Receiver<Message>,
    committer: Sender<Order>,
    teller: ToTeller,
    vitals: Arc<Vitals>,
    batch: Batch,
    /// Permits of the inputs in the batch.
    permits: Vec<OwnedSemaphorePermit>,
    /// Batches that were handed over.
    handed_over: u64,
    /// Those of them that are written.
    written: Arc<AtomicU64>,
    recovering: bool,
    drained: Option<oneshot::Sender<()>>,
    unanswered: Unanswered,
}

impl Decider {
    pub(crate) fn new(
        snapshot: Snapshot,
        config: Config,
        clock: Clock,
        ids: IdSource,
        wiring: Wiring,
    ) -> Result<Self, LoadError> {
        let Wiring {
            messages,
            committer,
            teller,
            written,
            vitals,
        } = wiring;
        let engine = Engine::load(snapshot, config.clone(), clock.now())?;
        Ok(Self {
            engine,
            config,
            clock,
            ids,
            messages,
            committer,
            teller,
            vitals,
            batch: Batch::default(),
            permits: Vec::new(),
            handed_over: 0,
            written,
            recovering: false,
            drained: None,
            unanswered: Unanswered::default(),
        })
    }

    /// Runs until it is told to stop, or nobody can tell it anything any more.
    pub(crate) fn run(mut self) {
        self.resume();
        loop {
            match self.next_message() {
                Ok(message) => {
                    if !self.take(message) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for taken in 1..=MESSAGES_PER_TURN_MAX {
                let Ok(message) = self.messages.try_recv() else {
                    break;
                };
                if !self.take(message) {
                    return;
                }
                if taken.is_multiple_of(MESSAGES_PER_LOOK) && !self.is_committing() {
                    break;
                }
            }
            self.let_time_pass();
            if !self.hand_over() {
                return;
            }
        }
    }

    /// Waits for a message. While a batch is being written others go first, who would send more: to be woken for each
    /// message costs more than what there is to decide.
    fn next_message(&self) -> Result<Message, RecvTimeoutError> {
        if self.is_committing() {
            if let Ok(message) = self.messages.try_recv() {
                return Ok(message);
            }
            std::thread::yield_now();
        }
        self.messages.recv_timeout(self.patience())
    }

    /// How long nothing needs to happen.
    fn patience(&self) -> Duration {
        let Some(due) = self.engine.next_due().filter(|_| !self.recovering) else {
            return IDLE;
        };
        let until = Duration::from_millis(due.ms_since(self.clock.now()));
        match &self.clock {
            Clock::System => until.min(IDLE),
            // It stands still: what is not due yet will not be before someone says that it was moved.
            Clock::Manual(_) if until.is_zero() => until,
            Clock::Manual(_) => IDLE,
        }
    }

    fn let_time_pass(&mut self) {
        if !self.recovering
            && self
                .engine
                .next_due()
                .is_some_and(|due| due <= self.clock.now())
        {
            self.decide(Input::TimersDue, None);
        }
    }

    /// Deals with a message; `false` ends the loop.
    fn take(&mut self, message: Message) -> bool {
        match message {
            Message::Input {
                input,
                asker,
                permit,
            } => {
                if self.recovering {
                    // Without an engine nothing can be decided; calls are made again after the load.
                    if let Some(asker) = asker {
                        drop(asker.send(Err(self.vitals.unavailable())));
                    }
                } else {
                    self.permits.extend(permit);
                    self.unanswered.told(&input);
                    self.decide(input, asker);
                }
            }
            // It has woken the loop: the committer counts what is written.
            Message::Committed => {}
            Message::CommitFailed(error) => self.fail(&error),
            Message::Recovered(snapshot) => self.reload(*snapshot),
            // Whoever asked may have stopped waiting.
            Message::Standing(run, answer) => drop(answer.send(self.engine.standing(run))),
            Message::UnderWay(run, answer) => drop(answer.send(self.engine.under_way(run))),
            Message::Census(answer) => drop(answer.send(self.engine.census())),
            // The committer is there as long as this loop.
            Message::ClockMoved => drop(self.committer.send(Order::ClockMoved)),
            Message::Rest(asker) => self.unanswered.wait_for_rest(asker),
            Message::Drain(drained) => {
                self.engine.stop_calling();
                self.drained = Some(drained);
            }
            Message::Stop => return false,
        }
        true
    }

    fn decide(&mut self, input: Input, asker: Option<Asker>) {
        let mut decision = Decision::default();
        self.engine
            .handle(input, self.clock.now(), &mut self.ids, &mut decision);
        self.gather(decision, asker);
    }

    fn gather(&mut self, decision: Decision, asker: Option<Asker>) {
        self.unanswered.asked(&decision.effects);
        self.batch.changes.extend(decision.changes);
        self.batch.effects.extend(decision.effects);
        if let Some(asker) = asker {
            let answer = decision.answer.unwrap_or(Answer::EventsAccepted);
            self.batch.answers.push((asker, answer));
        }
    }

    fn resume(&mut self) {
        let mut decision = Decision::default();
        self.engine
            .resume(self.clock.now(), &mut self.ids, &mut decision);
        self.gather(decision, None);
        self.hand_over();
    }

    fn is_committing(&self) -> bool {
        self.handed_over > self.written.load(Ordering::Acquire)
    }

    /// Gives the batch to the committer, if that is free; `false` when it is gone.
    fn hand_over(&mut self) -> bool {
        self.vitals.observe(&self.engine);
        let committing = self.is_committing();
        if !committing && !self.recovering && !self.batch.is_empty() {
            self.permits.clear();
            self.handed_over += 1;
            return self
                .committer
                .send(Order::Commit(std::mem::take(&mut self.batch)))
                .is_ok();
        }
        let idle = !committing && self.batch.is_empty() && self.engine.calls_in_flight() == 0;
        if self.recovering {
            // What returns now cannot be recorded. Whoever waits for it learns that from the closed channel.
            self.drained = None;
        } else if idle && let Some(drained) = self.drained.take() {
            // Whoever asked may have lost patience.
            self.teller.then(|| drained.send(()).unwrap_or_default());
        }
        if idle {
            let rested = self.unanswered.at(&self.engine, self.clock.now());
            if let Some(tell) = rested {
                self.teller.then(tell);
            }
        }
        true
    }

    /// Nothing that was decided since the last commit is true: forgets it and waits for the store.
    fn fail(&mut self, error: &StoreError) {
        let reason = describe(error);
        tracing::error!(
            error = reason,
            "cannot write; new events are refused until the store accepts writes again"
        );
        self.vitals.fail(reason);
        self.handed_over = self.written.load(Ordering::Acquire);
        self.recovering = true;
        self.permits.clear();
        self.unanswered.forget();
        std::mem::take(&mut self.batch).refuse(&self.vitals.unavailable());
        // The committer is there as long as this loop: it ends only with it.
        drop(self.committer.send(Order::Recover));
    }

    fn reload(&mut self, snapshot: Snapshot) {
        match Engine::load(snapshot, self.config.clone(), self.clock.now()) {
            Ok(mut engine) => {
                engine.follow(&self.engine);
                tracing::info!(
                    "the store accepts writes again; work goes on from what was committed"
                );
                self.engine = engine;
                self.recovering = false;
                self.vitals.recover();
                if self.drained.is_some() {
                    self.engine.stop_calling();
                }
                self.resume();
            }
            Err(error) => {
                tracing::error!(%error, "what was committed cannot be loaded; nothing runs until a restart");
                self.vitals.fail(error.to_string());
            }
        }
    }
}
