//! A store that outlives engines: each of them writes to it until it is fenced off.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use stepwell_engine::{Change, Snapshot, StepDetail, Timestamp};
use stepwell_store::{Pruned, Reader, Slice, Store, StoreError, Writer, memory};
use tokio::sync::Notify;

/// Where the state of a test is, whatever becomes of its engines.
#[derive(Debug)]
pub(super) struct Disk {
    writer: Mutex<Box<dyn Writer>>,
    pub(super) reader: Arc<dyn Reader>,
    state: Mutex<State>,
    /// An engine is to be dropped: it has died as planned.
    pub(super) died: Notify,
    buried: Condvar,
}

/// On which side of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Its work is done, and lost.
    Before,
    /// It is written, and nothing that follows from it happens.
    After,
}

/// When to crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CrashPoint {
    /// Which commit since the plan was made, from 1.
    pub(super) nth: usize,
    pub(super) side: Side,
}

#[derive(Debug, Default)]
struct State {
    /// The engine that may write.
    life: u64,
    /// Commits since the plan was made.
    commits: usize,
    plan: Option<CrashPoint>,
    /// The changes of the commit at which the crash has happened, and whether they were written.
    crashed: Option<(Side, Vec<Change>)>,
    /// The engine that has died waits for its end here, so that nothing follows from its last commit.
    dying: Option<u64>,
}

impl Disk {
    pub(super) fn in_memory() -> Arc<Self> {
        let Store { writer, reader } = memory::open();
        Arc::new(Self {
            writer: Mutex::new(writer),
            reader,
            state: Mutex::default(),
            died: Notify::new(),
            buried: Condvar::new(),
        })
    }

    /// The store for the next engine; those before it can write no more.
    pub(super) fn mount(self: &Arc<Self>) -> Store {
        let mut state = self.state();
        state.life += 1;
        Store {
            writer: Box::new(Mounted {
                disk: Arc::clone(self),
                life: state.life,
            }),
            reader: Arc::clone(&self.reader),
        }
    }

    /// Lets no engine write until the next one mounts.
    pub(super) fn fence_off(&self) {
        self.state().life += 1;
    }

    /// Lets the thread end that made the last commit of an engine, which is gone by now.
    pub(super) fn bury(&self) {
        self.state().dying = None;
        self.buried.notify_all();
    }

    /// Has the engine die at a commit that is still to come.
    pub(super) fn plan_crash(&self, plan: CrashPoint) {
        let mut state = self.state();
        state.commits = 0;
        state.plan = Some(plan);
    }

    /// The changes of the commit at which the engine has died as planned.
    pub(super) fn crashed_at(&self) -> Option<Vec<Change>> {
        let state = self.state();
        state.crashed.as_ref().map(|(_, changes)| changes.clone())
    }

    /// Whether the commit before the crash ended a wait for this signal: whoever sent it need not send it again.
    pub(super) fn crash_took_in_signal(&self, name: &str) -> bool {
        let takes_it_in = |change: &Change| {
            let Change::StepPut(step) = change else {
                return false;
            };
            let detail = step.detail.as_deref().map(serde_json::from_str);
            matches!(
                detail,
                Some(Ok(StepDetail::WaitForSignal { signal, found: true, .. })) if *signal == *name
            )
        };
        match &self.state().crashed {
            Some((Side::After, changes)) => changes.iter().any(takes_it_in),
            Some((Side::Before, _)) | None => false,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Box<dyn Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The disk as one engine has it.
#[derive(Debug)]
struct Mounted {
    disk: Arc<Disk>,
    life: u64,
}

fn crashed() -> StoreError {
    StoreError::Damaged("the test has crashed this engine".to_owned())
}

impl Mounted {
    fn check(&self, state: &State) -> Result<(), StoreError> {
        match state.life == self.life {
            true => Ok(()),
            false => Err(crashed()),
        }
    }
}

impl Writer for Mounted {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        // Held throughout: whoever fences this engine off knows that nothing of it is written from then on.
        let mut state = self.disk.state();
        self.check(&state)?;
        state.commits += 1;
        let nth = state.commits;
        let planned = state.plan.take_if(|plan| plan.nth == nth);
        if !matches!(
            planned,
            Some(CrashPoint {
                side: Side::Before,
                ..
            })
        ) {
            self.disk.writer().commit(changes)?;
        }
        let Some(CrashPoint { side, .. }) = planned else {
            return Ok(());
        };
        state.crashed = Some((side, changes.to_vec()));
        state.life += 1;
        state.dying = Some(self.life);
        self.disk.died.notify_one();
        let buried = self
            .disk
            .buried
            .wait_while(state, |state| state.dying == Some(self.life));
        drop(buried.unwrap_or_else(PoisonError::into_inner));
        Err(crashed())
    }

    fn probe(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.check(&self.disk.state())?;
        self.disk.writer().probe(bytes)
    }

    fn load(&mut self, now: Timestamp) -> Result<Snapshot, StoreError> {
        self.disk.writer().load(now)
    }

    fn prune(&mut self, slice: &Slice) -> Result<Pruned, StoreError> {
        self.check(&self.disk.state())?;
        self.disk.writer().prune(slice)
    }

    fn bytes_used(&mut self) -> Result<u64, StoreError> {
        self.disk.writer().bytes_used()
    }

    fn give_back(&mut self) -> Result<bool, StoreError> {
        self.check(&self.disk.state())?;
        self.disk.writer().give_back()
    }
}
