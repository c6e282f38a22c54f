//! Functions: what starts them, how they run, and the code.

mod check;
mod checkpointing;
mod cron;
mod flow;
mod handler;
mod reference;

pub use checkpointing::Checkpointing;
pub(crate) use checkpointing::Transport;
pub use cron::Cron;
pub use flow::{Batch, CancelOn, Concurrency, Debounce, RateLimit, Singleton, Throttle, Timeouts};
pub use handler::{Handler, HandlerOutput};
pub use reference::FunctionRef;

use crate::event::{CronTick, EventFamily, FunctionFailed, Member, Payload};
use crate::middleware::{Middleware, Stack};
use handler::erase;
pub(crate) use handler::{ErasedHandler, FunctionCode};
use serde_json::Value;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use stepwell_protocol::config::{self, FunctionConfig, Retries, Runtime, StepConfig, Trigger};
use stepwell_protocol::event::{DEFERRED_SCHEDULE, FUNCTION_FAILED};

/// How long a function may await something that is not a step, when it says nothing.
const OUTSIDE_STEPS_MAX: Duration = Duration::from_secs(10);

/// A durable function: a value that an [`App`](crate::App) is made of.
///
/// ```
/// use stepwell::{Concurrency, Context, Error, Event, Function, Throttle};
/// use std::time::Duration;
///
/// #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema, Event)]
/// #[event(name = "shop/order.placed")]
/// struct OrderPlaced {
///     order_id: String,
/// }
///
/// async fn ship(ctx: Context<OrderPlaced>) -> Result<String, Error> {
///     let order = &ctx.data().order_id;
///     let label: String = ctx.step().run("print-label", || async { Ok(format!("label of {order}")) }).await?;
///     ctx.step().sleep("let-it-dry", Duration::from_secs(3600)).await;
///     Ok(label)
/// }
///
/// let function = Function::new("ship-order")
///     .name("Ship an order")
///     .on::<OrderPlaced>()
///     .retries(3)
///     .concurrency(Concurrency::limit(5))
///     .throttle(Throttle::new(1, Duration::from_secs(60)).key("event.data.order_id"))
///     .handler(ship);
/// ```
#[derive(Clone)]
pub struct Function {
    pub(crate) id: String,
    pub(crate) config: FunctionConfig,
    /// The types of events that it runs for.
    pub(crate) events: Vec<Member>,
    pub(crate) handler: ErasedHandler,
    pub(crate) on_failure: Option<ErasedHandler>,
    pub(crate) middleware: Stack,
    pub(crate) outside_steps_max: Duration,
    /// How it reports its steps, if it says so itself.
    pub(crate) checkpointing: Option<Checkpointing>,
    /// Whether it runs when runs that deferred it have ended.
    deferred: bool,
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Function")
            .field("id", &self.id)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Function {
    /// Begins a function. Its id is unique in its app, and stays: runs are found by it.
    #[expect(
        clippy::new_ret_no_self,
        reason = "a function is complete only with its handler"
    )]
    pub fn new(id: impl Into<String>) -> FunctionBuilder<NoTrigger, ()> {
        let id = id.into();
        FunctionBuilder {
            parts: Parts {
                config: FunctionConfig {
                    name: id.clone(),
                    ..Default::default()
                },
                id,
                events: Vec::new(),
                middleware: Stack::default(),
                outside_steps_max: OUTSIDE_STEPS_MAX,
                deferred: false,
                checkpointing: None,
            },
            state: (),
            on_failure: None,
            payload: PhantomData,
        }
    }

    /// The function's id within its app.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id under which servers know it: `<app>-<id>`.
    #[must_use]
    pub fn public_id(&self, app_id: &str) -> String {
        format!("{app_id}-{}", self.id)
    }

    /// As it is registered, called at `url` (with the query to be added).
    pub(crate) fn registration(&self, app_id: &str, url: &str) -> Vec<FunctionConfig> {
        let public_id = self.public_id(app_id);
        let mut config = self.config.clone();
        config.id.clone_from(&public_id);
        if self.deferred {
            // An id has no character that would have to be escaped here.
            let condition = format!("event.data._inngest.fn_slug == '{public_id}'");
            config.triggers = vec![event_trigger(DEFERRED_SCHEDULE, Some(condition))];
        }
        config.steps = step(url, &public_id, config.retries.take());
        let mut configs = vec![config];
        if self.on_failure.is_some() {
            let id = format!("{public_id}-failure");
            configs.push(FunctionConfig {
                name: format!("{} (failure)", self.config.name),
                triggers: vec![Trigger {
                    event: Some(FUNCTION_FAILED.to_owned()),
                    expression: Some(format!("event.data.function_id == '{public_id}'")),
                    ..Trigger::default()
                }],
                steps: step(url, &id, Some(1)),
                id,
                ..FunctionConfig::default()
            });
        }
        configs
    }

    /// What no server would take; nothing, if all is well.
    pub(crate) fn problem(&self) -> Option<String> {
        let problems = check::problems(&self.id, &self.config);
        (!problems.is_empty()).then(|| problems.join("; "))
    }
}

fn step(
    url: &str,
    id: &str,
    retries: Option<u32>,
) -> std::collections::BTreeMap<String, StepConfig> {
    let joint = if url.contains('?') { '&' } else { '?' };
    let step = StepConfig {
        id: "step".to_owned(),
        name: "step".to_owned(),
        runtime: Runtime {
            kind: "http".to_owned(),
            url: format!("{url}{joint}fnId={id}&stepId=step"),
        },
        retries: retries.map(|attempts| Retries { attempts }),
    };
    [("step".to_owned(), step)].into()
}

/// The payload of a function that has no trigger yet.
#[derive(Debug, Clone, Copy)]
pub enum NoTrigger {}

/// Makes a [`Function`]. `E` is what its handler gets as data, `S` the state that it takes dependencies from.
pub struct FunctionBuilder<E, S> {
    parts: Parts,
    state: S,
    on_failure: Option<ErasedHandler>,
    payload: PhantomData<fn() -> E>,
}

#[derive(Debug)]
struct Parts {
    id: String,
    config: FunctionConfig,
    events: Vec<Member>,
    middleware: Stack,
    outside_steps_max: Duration,
    deferred: bool,
    checkpointing: Option<Checkpointing>,
}

impl<E, S> fmt::Debug for FunctionBuilder<E, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FunctionBuilder")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl<S> FunctionBuilder<NoTrigger, S> {
    /// Runs for each event of type `E`, or of the family `E`.
    #[must_use]
    pub fn on<E: EventFamily>(self) -> FunctionBuilder<E, S> {
        self.with_payload::<E>().or_on::<E>()
    }

    /// Runs for each event of type `E`, or of the family `E`, for which an expression is true:
    /// `event.data.total > 100`.
    #[must_use]
    pub fn on_if<E: EventFamily>(self, expression: impl Into<String>) -> FunctionBuilder<E, S> {
        self.with_payload::<E>().or_on_if::<E>(expression)
    }

    /// Runs for each event of a name, or of a pattern that ends in `/*` or `.*`, whatever its data.
    #[must_use]
    pub fn on_event(self, name: &str) -> FunctionBuilder<Value, S> {
        self.trigger(event_trigger(name, None)).with_payload()
    }

    /// Runs for each event of a name or pattern for which an expression is true.
    #[must_use]
    pub fn on_event_if(
        self,
        name: &str,
        expression: impl Into<String>,
    ) -> FunctionBuilder<Value, S> {
        self.trigger(event_trigger(name, Some(expression.into())))
            .with_payload()
    }

    /// Runs on a schedule: five cron fields, optionally with a zone in front (`TZ=Europe/Paris 0 5 * * 1-5`).
    #[must_use]
    pub fn cron(self, schedule: impl Into<Cron>) -> FunctionBuilder<CronTick, S> {
        self.trigger(schedule.into().trigger()).with_payload()
    }

    /// Runs when a run that [deferred](crate::Step::defer) it has ended.
    #[must_use]
    pub fn on_deferred<E: Payload>(mut self) -> FunctionBuilder<E, S> {
        self.parts.deferred = true;
        self.with_payload()
    }

    /// Runs only when another function, or the API, invokes it, with data of any shape.
    #[must_use]
    pub fn on_invoke(self) -> FunctionBuilder<Value, S> {
        self.with_payload()
    }

    /// Runs only when another function, or the API, invokes it, with data of this type: an [`Event`], or
    /// [`Json<T>`](crate::Json) of any other.
    ///
    /// [`Event`]: trait@crate::Event
    #[must_use]
    pub fn on_invoke_with<E: Payload>(self) -> FunctionBuilder<E, S> {
        self.with_payload()
    }
}

impl<E: Payload, S> FunctionBuilder<E, S> {
    /// Another event or family to run for. Its data is read as an `E`, too: take [`serde_json::Value`] for events of
    /// several shapes, or, better, one family of them.
    #[must_use]
    pub fn or_on<T: EventFamily>(mut self) -> Self {
        for member in T::members() {
            self = self.trigger(event_trigger(member.name, None));
            self.parts.events.push(member);
        }
        self
    }

    /// The same, for events for which an expression is true.
    #[must_use]
    pub fn or_on_if<T: EventFamily>(mut self, expression: impl Into<String>) -> Self {
        let expression: String = expression.into();
        for member in T::members() {
            self = self.trigger(event_trigger(member.name, Some(expression.clone())));
            self.parts.events.push(member);
        }
        self
    }

    /// Another event, or pattern, to run for. Its data is read as an `E`, too.
    #[must_use]
    pub fn or_on_event(self, name: &str) -> Self {
        self.trigger(event_trigger(name, None))
    }

    /// The same, if an expression is true.
    #[must_use]
    pub fn or_on_event_if(self, name: &str, expression: impl Into<String>) -> Self {
        self.trigger(event_trigger(name, Some(expression.into())))
    }
}

impl<S> FunctionBuilder<Value, S> {
    /// A schedule to run on, too; the data is then that of a [`CronTick`].
    #[must_use]
    pub fn or_cron(self, schedule: impl Into<Cron>) -> Self {
        self.trigger(schedule.into().trigger())
    }
}

impl<S> FunctionBuilder<CronTick, S> {
    /// Another schedule to run on.
    #[must_use]
    pub fn or_cron(self, schedule: impl Into<Cron>) -> Self {
        self.trigger(schedule.into().trigger())
    }
}

impl<E, S> FunctionBuilder<E, S> {
    fn trigger(mut self, trigger: Trigger) -> Self {
        self.parts.config.triggers.push(trigger);
        self
    }

    fn with_payload<P>(self) -> FunctionBuilder<P, S> {
        FunctionBuilder {
            parts: self.parts,
            state: self.state,
            on_failure: self.on_failure,
            payload: PhantomData,
        }
    }

    /// A name for people; the id when none is given.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.parts.config.name = name.into();
        self
    }

    /// Attempts after the first, of each step and of the function itself: 0 to 20, 4 when none are given.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.parts.config.retries = Some(retries);
        self
    }

    /// Limits how many steps execute at once. A function takes two limits.
    #[must_use]
    pub fn concurrency(mut self, limit: impl Into<Concurrency>) -> Self {
        self.parts.config.concurrency.steps.push(limit.into().0);
        self
    }

    /// Limits how many runs there are at once, from their first call to their end.
    #[must_use]
    pub fn run_concurrency(mut self, limit: u32) -> Self {
        self.parts.config.concurrency.runs = vec![config::ConcurrencyLimit {
            limit,
            scope: Some("fn".to_owned()),
            key: None,
        }];
        self
    }

    /// Spaces starts out.
    #[must_use]
    pub fn throttle(mut self, throttle: Throttle) -> Self {
        self.parts.config.throttle = Some(throttle.0);
        self
    }

    /// Drops events over a rate.
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.parts.config.rate_limit = Some(limit.0);
        self
    }

    /// Waits until events stop coming.
    #[must_use]
    pub fn debounce(mut self, debounce: Debounce) -> Self {
        self.parts.config.debounce = Some(debounce.0);
        self
    }

    /// Runs for several events at once; the handler finds them in [`Context::events`](crate::Context::events).
    #[must_use]
    pub fn batch(mut self, batch: Batch) -> Self {
        self.parts.config.batch_events = Some(batch.0);
        self
    }

    /// Runs once in 24 hours for each value of an expression.
    #[must_use]
    pub fn idempotency(mut self, expression: impl Into<String>) -> Self {
        self.parts.config.idempotency = Some(expression.into());
        self
    }

    /// An expression that gives seconds of head start over other runs of the function: -600 to 600.
    #[must_use]
    pub fn priority(mut self, expression: impl Into<String>) -> Self {
        let run = Some(expression.into());
        self.parts.config.priority = Some(config::Priority { run });
        self
    }

    /// At most one run at a time.
    #[must_use]
    pub fn singleton(mut self, singleton: Singleton) -> Self {
        self.parts.config.singleton = Some(singleton.0);
        self
    }

    /// An event that cancels runs. A function takes five.
    #[must_use]
    pub fn cancel_on(mut self, cancel: CancelOn) -> Self {
        self.parts.config.cancel.push(cancel.0);
        self
    }

    /// How long a run may take before it is cancelled.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.parts.config.timeouts = Some(timeouts.0);
        self
    }

    /// How long a call may await something that is not a step: 10 seconds when nothing is given.
    ///
    /// What is awaited outside a step is done again on every call, so long waits there are refused, with an
    /// error that says so. Allow more for a function that does its work without steps.
    #[must_use]
    pub fn outside_steps_max(mut self, duration: Duration) -> Self {
        self.parts.outside_steps_max = duration;
        self
    }

    /// How it reports its steps; as the [app](crate::App::checkpointing) says when nothing is given.
    #[must_use]
    pub fn checkpointing(mut self, checkpointing: Checkpointing) -> Self {
        self.parts.checkpointing = Some(checkpointing);
        self.parts.config.checkpoint = checkpointing.to_wire();
        self
    }

    /// Adds middleware, after the app's.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.parts.middleware = self.parts.middleware.with(Arc::new(middleware));
        self
    }

    /// Gives the state that handlers take their dependencies from; see [`State`](crate::State).
    #[must_use]
    pub fn state<T>(self, state: T) -> FunctionBuilder<E, T> {
        FunctionBuilder {
            parts: self.parts,
            state,
            on_failure: self.on_failure,
            payload: PhantomData,
        }
    }
}

impl<E: Payload, S: Send + Sync + 'static> FunctionBuilder<E, S> {
    /// Runs another handler, as a function of its own, when a run has failed for good.
    #[must_use]
    pub fn on_failure<Args, H>(mut self, handler: H) -> Self
    where
        H: Handler<FunctionFailed, S, Args>,
        S: Clone,
    {
        self.on_failure = Some(erase(handler, self.state.clone()));
        self
    }

    /// Completes the function with its code.
    pub fn handler<Args, H>(self, handler: H) -> Function
    where
        H: Handler<E, S, Args>,
    {
        Function {
            id: self.parts.id,
            config: self.parts.config,
            events: self.parts.events,
            handler: erase(handler, self.state),
            on_failure: self.on_failure,
            middleware: self.parts.middleware,
            outside_steps_max: self.parts.outside_steps_max,
            checkpointing: self.parts.checkpointing,
            deferred: self.parts.deferred,
        }
    }
}

fn event_trigger(name: &str, expression: Option<String>) -> Trigger {
    Trigger {
        event: Some(name.to_owned()),
        expression,
        ..Trigger::default()
    }
}
