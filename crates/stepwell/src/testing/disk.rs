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
    /// An engine is to be dropped: it was told to die after the commit that it has just made.
    pub(super) died: Notify,
    buried: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The engine that may write.
    life: u64,
    /// Commits since the plan was made.
    commits: usize,
    crash_after: Option<usize>,
    /// Whether the crash has happened, and what the commit before it wrote.
    crashed: Option<Vec<Change>>,
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

    /// Has the engine die after the so manieth commit from now, from 1; counts commits from now in any case.
    pub(super) fn plan_crash(&self, after: Option<usize>) {
        let mut state = self.state();
        state.commits = 0;
        state.crash_after = after;
        state.crashed = None;
    }

    /// Commits since the plan was made.
    pub(super) fn commits(&self) -> usize {
        self.state().commits
    }

    /// What the commit wrote after which the engine has died as planned.
    pub(super) fn crashed_after(&self) -> Option<Vec<Change>> {
        self.state().crashed.clone()
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
        let state = self.state();
        state.crashed.iter().flatten().any(takes_it_in)
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
        self.disk.writer().commit(changes)?;
        state.commits += 1;
        if state.crash_after != Some(state.commits) {
            return Ok(());
        }
        state.crash_after = None;
        state.crashed = Some(changes.to_vec());
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
