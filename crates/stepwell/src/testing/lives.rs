//! The engines of a test, one after the other: when one has crashed, the next goes on from the store.

use super::calls::Switch;
use super::disk::Disk;
use super::error::TestError;
use super::stand_ins::StandIns;
use crate::app::Runner;
use crate::embedded::{Direct, SCHEME, StartError};
use std::collections::HashMap;
use std::sync::Arc;
use stepwell_engine::AppSync;
use stepwell_runtime::gateway::{Preparation, PrivateAddresses};
use stepwell_runtime::{Clock, Handle, Invokers, ManualClock, Options, Retention, Runtime};
use tokio::sync::{SetOnce, mpsc, oneshot, watch};

/// How long nothing runs after a crash: dispatches are told apart by their time.
const DOWN_MS: u64 = 1;

/// What every engine of a test is made of.
pub(super) struct Parts {
    pub(super) disk: Arc<Disk>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) engine: stepwell_engine::Config,
    pub(super) runners: Arc<HashMap<String, Runner>>,
    pub(super) syncs: Vec<AppSync>,
    pub(super) stand_ins: Arc<StandIns>,
}

/// An engine.
#[derive(Debug, Clone)]
pub(super) struct Life {
    number: u64,
    pub(super) handle: Handle,
}

#[derive(Debug, Clone)]
enum State {
    Alive(Life),
    /// The next one is on its way.
    Down,
    /// There will be none: this is why.
    Over(Arc<str>),
}

/// Knows the engine at hand.
#[derive(Debug, Clone)]
pub(super) struct Lives(watch::Receiver<State>);

/// Keeps an engine running for as long as it is held, and crashes it on demand.
#[derive(Debug)]
pub(super) struct Keeper(mpsc::Sender<oneshot::Sender<()>>);

impl Keeper {
    /// Crashes the engine at hand; returns when the next one is there, or there will be none.
    pub(super) async fn crash(&self) {
        let (tell, up_again) = oneshot::channel();
        // A task that is gone has said why.
        drop(self.0.send(tell).await);
        drop(up_again.await);
    }
}

impl Lives {
    /// Starts the first engine, and a task that starts each next one.
    pub(super) async fn begin(parts: Parts) -> Result<(Self, Keeper), StartError> {
        let (runtime, life) = parts.start(1).await?;
        let (tell, state) = watch::channel(State::Alive(life));
        let (crashes, orders) = mpsc::channel(1);
        drop(tokio::spawn(keep(parts, runtime, tell, orders)));
        Ok((Self(state), Keeper(crashes)))
    }

    /// The engine at hand, or the next one.
    pub(super) async fn alive(&self) -> Result<Life, TestError> {
        self.first(|_| true).await
    }

    /// The engine after one that no longer answers.
    pub(super) async fn after(&self, gone: &Life) -> Result<Life, TestError> {
        self.first(|life| life.number > gone.number).await
    }

    async fn first(&self, suits: impl Fn(&Life) -> bool) -> Result<Life, TestError> {
        let mut states = self.0.clone();
        let decided = states.wait_for(|state| match state {
            State::Alive(life) => suits(life),
            State::Down => false,
            State::Over(_) => true,
        });
        match decided.await.map(|state| state.clone()) {
            Ok(State::Alive(life)) => Ok(life),
            Ok(State::Over(reason)) => Err(TestError::Stopped {
                reason: reason.to_string(),
            }),
            Ok(State::Down) | Err(_) => Err(TestError::Stopped {
                reason: "the test has ended".to_owned(),
            }),
        }
    }
}

/// Keeps an engine running until nobody needs it any more.
async fn keep(
    parts: Parts,
    mut runtime: Runtime,
    tell: watch::Sender<State>,
    mut orders: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let _end = End(Arc::clone(&parts.disk));
    for number in 2.. {
        let up_again = tokio::select! {
            () = parts.disk.died.notified() => None,
            order = orders.recv() => match order {
                Some(order) => Some(order),
                None => return,
            },
        };
        parts.disk.fence_off();
        tell.send_replace(State::Down);
        drop(runtime);
        parts.disk.bury();
        parts.clock.advance_ms(DOWN_MS);
        match parts.start(number).await {
            Ok((next, life)) => {
                runtime = next;
                tell.send_replace(State::Alive(life));
            }
            Err(error) => {
                let reason = format!("the engine cannot be started again: {error}");
                tell.send_replace(State::Over(reason.into()));
                return;
            }
        }
        if let Some(up_again) = up_again {
            // Whoever asked may have stopped waiting.
            up_again.send(()).unwrap_or_default();
        }
    }
}

/// Ends the thread that a crash has stopped, if nobody else does any more.
struct End(Arc<Disk>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.fence_off();
        self.0.bury();
    }
}

impl Parts {
    async fn start(&self, number: u64) -> Result<(Runtime, Life), StartError> {
        let engine = Arc::new(SetOnce::new());
        let direct = Direct::new(Arc::clone(&self.runners), Arc::clone(&engine));
        let switch = Switch::new(direct, Arc::clone(&self.stand_ins));
        let invokers = Invokers::none().with(SCHEME, Arc::new(switch));
        let options = Options {
            engine: self.engine.clone(),
            clock: Clock::Manual(Arc::clone(&self.clock)),
            gateway: Preparation::OnDemand,
            // Where tests have the servers that they make up.
            private_addresses: PrivateAddresses::Allow,
            // A month may pass before a test looks at a run.
            retention: Retention {
                age: None,
                ..Retention::default()
            },
            ..Options::default()
        };
        let runtime = Runtime::start(self.disk.mount(), invokers, options)?;
        let handle = runtime.handle();
        engine.set(handle.clone()).expect("it is set once, here");
        for sync in &self.syncs {
            handle.sync_app(sync.clone()).await?;
        }
        Ok((runtime, Life { number, handle }))
    }
}
