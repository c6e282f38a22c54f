//! What a handler gets.

use crate::event::Received;
use crate::execution::Execution;
use crate::moment::Moment;
use crate::step::Step;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use stepwell_protocol::RunId;

/// A call of a function, as its handler sees it: the event, the steps, the run.
///
/// `E` is an event's type, or [`serde_json::Value`] for data of any shape.
#[derive(Debug)]
pub struct Context<E = Value> {
    events: Vec<Received<E>>,
    step: Step,
}

impl<E> Context<E> {
    /// `events` holds at least one.
    pub(crate) fn new(execution: Arc<Execution>, events: Vec<Received<E>>) -> Self {
        Self {
            events,
            step: Step::new(execution),
        }
    }

    /// The event's data.
    #[must_use]
    pub fn data(&self) -> &E {
        &self.event().data
    }

    /// The event; the first one of a batch.
    #[must_use]
    pub fn event(&self) -> &Received<E> {
        &self.events[0]
    }

    /// All events: several when the function takes [batches](crate::FunctionBuilder::batch).
    #[must_use]
    pub fn events(&self) -> &[Received<E>] {
        &self.events
    }

    /// Makes steps.
    #[must_use]
    pub fn step(&self) -> &Step {
        &self.step
    }

    /// The run.
    #[must_use]
    pub fn run_id(&self) -> RunId {
        self.step.execution().run.run_id
    }

    /// The public id of the function, `<app>-<function>`.
    #[must_use]
    pub fn function_id(&self) -> &str {
        &self.step.execution().run.function_id
    }

    /// The client of the function's app, for code under a step that sends events itself. It sends to where the run is; what
    /// it sends outside of a step's code is sent on every call.
    #[must_use]
    pub fn client(&self) -> &crate::Client {
        &self.step.execution().client
    }

    /// The time by the client's clock; in `stepwell::testing`, the test's. It differs from call to call, so it is read in a
    /// step's code.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.step.execution().clock.now()
    }

    /// Which attempt this is, from 0: of the step that is being executed, else of the function.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.step.execution().run.attempt
    }

    /// A value of this type that a middleware has
    /// [provided](crate::middleware::FunctionInput::provide); `None` when none has.
    #[must_use]
    pub fn provided<T: Clone + Send + Sync + 'static>(&self) -> Option<&T> {
        self.step.execution().provided.get()
    }

    /// The sessions that the run belongs to, by key: those of its events.
    #[must_use]
    pub fn sessions(&self) -> &BTreeMap<String, String> {
        &self.step.execution().sessions
    }

    /// How many attempts there are.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.step.execution().run.max_attempts
    }
}

/// A dependency of a handler, taken out of the function's state by its type.
///
/// ```
/// use stepwell::{Context, Error, FromRef, Function, State};
/// use std::sync::Arc;
///
/// #[derive(Clone)]
/// struct Mailer;
/// #[derive(Clone, FromRef)]
/// struct Deps {
///     mailer: Arc<Mailer>,
///     greeting: String,
/// }
///
/// async fn welcome(
///     ctx: Context,
///     State(greeting): State<String>,
///     mailer: State<Arc<Mailer>>,
/// ) -> Result<String, Error> {
///     let _ = (&*mailer, ctx.run_id());
///     Ok(greeting)
/// }
///
/// let deps = Deps { mailer: Arc::new(Mailer), greeting: "hello".into() };
/// let function = Function::new("welcome").on_event("user/signed.up").state(deps).handler(welcome);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct State<T>(pub T);

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// How a dependency is taken out of a function's state. Derive it on the state's struct to get one for each
/// field; the whole state can always be taken.
#[diagnostic::on_unimplemented(
    message = "the function's state `{S}` has no `{Self}` to give",
    label = "not in `{S}`",
    note = "give the state with `.state(..)` before `.handler(..)`; derive `FromRef` on it, with a field of type `{Self}`"
)]
pub trait FromRef<S> {
    /// Takes it, usually by cloning a field.
    fn from_ref(state: &S) -> Self;
}

impl<T: Clone> FromRef<T> for T {
    fn from_ref(state: &T) -> Self {
        state.clone()
    }
}
