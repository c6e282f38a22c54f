//! Making a [`TestApp`].

use super::app::{Limits, TestApp};
use super::disk::Disk;
use super::error::TestError;
use super::lives::{Lives, Parts};
use super::sink::{OwnEvents, TestApi, TestSink};
use super::stand_ins::{AtSteps, Observed, StandIns, StepCall, Steps};
use crate::Error;
use crate::app::App;
use crate::client::Client;
use crate::embedded::{Assembly, EngineConfig, SdkClock, StartError, Wiring, assemble};
use crate::function::Function;
use crate::moment::Moment;
use crate::step::to_json;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use stepwell_engine::Timestamp;
use stepwell_runtime::{Clock, ManualClock};
use tokio::sync::SetOnce;

/// When tests begin, unless they say: 2026-01-01T00:00:00Z, a Thursday.
const START_MS: i64 = 1_767_225_600_000;
/// Virtual time that may pass in one wait.
const VIRTUAL_TIME_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
/// Real time that it may take.
const REAL_TIME_MAX: Duration = Duration::from_secs(30);

/// Makes a [`TestApp`].
pub struct Builder {
    apps: Vec<App>,
    functions: Vec<Function>,
    starts_at: Moment,
    stand_ins: StandIns,
    engine: EngineConfig,
    limits: Limits,
    unused_allowed: bool,
}

impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Builder")
            .field("apps", &self.apps)
            .field("functions", &self.functions)
            .finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            apps: Vec::new(),
            functions: Vec::new(),
            starts_at: Moment::from_unix_ms(START_MS),
            stand_ins: StandIns::default(),
            engine: EngineConfig::default(),
            limits: Limits {
                virtual_time: VIRTUAL_TIME_MAX,
                real_time: REAL_TIME_MAX,
            },
            unused_allowed: false,
        }
    }
}

impl Builder {
    /// Adds an app.
    #[must_use]
    pub fn app(mut self, app: App) -> Self {
        self.apps.push(app);
        self
    }

    /// Adds a function, to an app `test` of its own.
    #[must_use]
    pub fn function(mut self, function: Function) -> Self {
        self.functions.push(function);
        self
    }

    /// When the test begins by its clock; 2026-01-01T00:00:00Z, a Thursday, if nothing is said.
    #[must_use]
    pub fn starts_at(mut self, moment: impl Into<Moment>) -> Self {
        self.starts_at = moment.into();
        self
    }

    /// Puts a function in the place of a step: what it returns is recorded, and what the step would do is not done.
    ///
    /// Any step can be mocked: one whose code runs in the app, a sleep, a wait (what it gives is the event, or `null`), an
    /// invoked function, a fetch, an inference. Of several mocks of a step the last one counts.
    #[must_use]
    pub fn mock_step<T: Serialize>(
        mut self,
        steps: impl Into<Steps>,
        mock: impl Fn(&StepCall) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Self {
        let answer = move |call: &StepCall| to_json(&mock(call)?);
        self.stand_ins.answer(steps.into(), answer);
        self
    }

    /// Puts a function in the place of all steps that invoke the function of this id (`refund`, or `shop-refund` with its
    /// app); that function need not be part of the test.
    #[must_use]
    pub fn mock_function<T: Serialize>(
        mut self,
        function: impl Into<String>,
        mock: impl Fn(&StepCall) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Self {
        let answer = move |call: &StepCall| to_json(&mock(call)?);
        self.stand_ins.answer_invocations(function.into(), answer);
        self
    }

    /// Fails the first `times` attempts of a step, in each run, before it (or its mock) gets to run. Retries are the
    /// engine's; the error may be [`NonRetriable`](crate::NonRetriable) or [`RetryAfter`](crate::RetryAfter).
    #[must_use]
    pub fn fail_step(
        mut self,
        steps: impl Into<Steps>,
        times: u32,
        error: impl Into<Error>,
    ) -> Self {
        self.stand_ins.fail(steps.into(), times, error.into());
        self
    }

    /// Has a step seen by `observer` whenever it ends, or an attempt of it fails. The step runs as it would.
    #[must_use]
    pub fn observe_step(
        mut self,
        steps: impl Into<Steps>,
        observer: impl Fn(&Observed) + Send + Sync + 'static,
    ) -> Self {
        self.stand_ins.observe(steps.into(), observer);
        self
    }

    /// Mocks that no run reaches are no mistake. Otherwise they end the test.
    #[must_use]
    pub fn allow_unused_mocks(mut self) -> Self {
        self.unused_allowed = true;
        self
    }

    /// How the engine behaves: calls at once, waits between attempts.
    #[must_use]
    pub fn engine(mut self, config: EngineConfig) -> Self {
        self.engine = config;
        self
    }

    /// Virtual time that may pass in one wait of the test; ten years if nothing is said.
    #[must_use]
    pub fn virtual_time_max(mut self, duration: Duration) -> Self {
        self.limits.virtual_time = duration;
        self
    }

    /// Real time that one wait of the test may take; 30 seconds if nothing is said.
    #[must_use]
    pub fn real_time_max(mut self, duration: Duration) -> Self {
        self.limits.real_time = duration;
        self
    }

    /// The same test, begun later.
    pub(super) fn later(mut self, by: Duration) -> Self {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.starts_at = Moment::from_unix_ms(self.starts_at.unix_ms().saturating_add(by));
        self
    }

    /// Starts the engine, inside a tokio runtime whose own time is not paused.
    ///
    /// # Errors
    /// [`TestError::Start`].
    pub async fn start(self) -> Result<TestApp, TestError> {
        let mut apps = self.apps;
        if !self.functions.is_empty() {
            apps.push(App::new(Client::dev("test")).functions(self.functions));
        }
        if apps.is_empty() {
            return Err(StartError::NoApp.into());
        }
        let mut stand_ins = self.stand_ins;
        let app_ids = apps.iter().map(|app| app.client().app_id().to_owned());
        stand_ins.set_apps(app_ids.collect());
        let stand_ins = Arc::new(stand_ins);
        let starts_at = u64::try_from(self.starts_at.unix_ms()).unwrap_or(0);
        let clock = ManualClock::new(Timestamp::from_ms(starts_at));
        let sdk_clock = Arc::new(SdkClock(Clock::Manual(Arc::clone(&clock))));
        let lives = Arc::new(SetOnce::new());
        let own_events = Arc::<OwnEvents>::default();
        let sink = |own| {
            let lives = Arc::clone(&lives);
            Arc::new(TestSink { lives, own })
        };
        let apps = apps
            .into_iter()
            .map(|app| app.middleware(AtSteps(Arc::clone(&stand_ins))));
        let disk = Disk::in_memory();
        let messages = Arc::default();
        let wiring = Wiring {
            sink: sink(None),
            local: Arc::new(TestApi {
                lives: Arc::clone(&lives),
                disk: Arc::clone(&disk),
                messages: Arc::clone(&messages),
            }),
            clock: sdk_clock,
        };
        let Assembly {
            runners,
            syncs,
            clients,
            names,
        } = assemble(apps.collect(), &wiring)?;
        let parts = Parts {
            disk: Arc::clone(&disk),
            clock: Arc::clone(&clock),
            engine: self.engine,
            runners,
            syncs,
            stand_ins: Arc::clone(&stand_ins),
        };
        let (begun, keeper) = Lives::begin(parts).await?;
        lives.set(begun.clone()).expect("it is set once, here");
        let own_wiring = Wiring {
            sink: sink(Some(Arc::clone(&own_events))),
            ..wiring
        };
        let clients = clients.iter().map(|client| own_wiring.apply(client));
        Ok(TestApp::new(super::app::Parts {
            lives: begun,
            keeper,
            disk,
            clock,
            clients: clients.collect(),
            names,
            own_events,
            messages,
            stand_ins,
            limits: self.limits,
            unused_allowed: self.unused_allowed,
        }))
    }
}
