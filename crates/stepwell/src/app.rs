//! An app: its functions, ready to be called.

use crate::client::{Checkpoint, Client};
use crate::event::{EventFamily, Member};
use crate::execution::{Call, CallReply, Checkpointer, Limits, Performed, Target, is_final};
use crate::function::{Checkpointing, Function, Transport};
use crate::middleware::{Middleware, RunInfo, Stack, TraceContext};
use crate::schemas::{SchemaError, Schemas};
use crate::{BoxFuture, Error};
use http::StatusCode;
use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use stepwell_protocol::call::{CallContext, CallRequest, DISCOVERY};
use stepwell_protocol::event::RESERVED_PREFIX;
use stepwell_protocol::register::Registration;
use stepwell_protocol::reply::RawReply;
use stepwell_protocol::{SharedJson, StepId};
use tracing::Instrument;

/// A client with its functions.
///
/// ```
/// # use stepwell::{App, Client, Context, Error, Function};
/// # async fn greet(_: Context) -> Result<(), Error> { Ok(()) }
/// let app = App::new(Client::dev("shop"))
///     .function(Function::new("greet").on_event("shop/greeted").handler(greet));
/// let runner = app.runner().expect("ids are unique");
/// assert_eq!(runner.registration("http://localhost:3000/api/inngest").functions[0].id, "shop-greet");
/// ```
#[derive(Debug, Clone)]
pub struct App {
    client: Client,
    version: Option<String>,
    functions: Vec<Function>,
    events: Vec<Member>,
    middleware: Stack,
    checkpointing: Checkpointing,
}

/// An app that no server would take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    /// Two functions have one id.
    #[error("two functions have the id '{0}': an app's ids are unique")]
    DuplicateFunction(String),
    /// A function's options cannot be used.
    #[error("function '{id}': {problem}")]
    Function {
        /// The function's id.
        id: String,
        /// What is wrong.
        problem: String,
    },
    /// The client has no app id.
    #[error("the app has no id: give the client one")]
    NoId,
}

impl App {
    /// An app without functions.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            version: None,
            functions: Vec::new(),
            events: Vec::new(),
            middleware: Stack::default(),
            checkpointing: Checkpointing::default(),
        }
    }

    /// The app's own version, for people.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Adds a function.
    #[must_use]
    pub fn function(mut self, function: Function) -> Self {
        self.functions.push(function);
        self
    }

    /// Adds functions.
    #[must_use]
    pub fn functions(mut self, functions: impl IntoIterator<Item = Function>) -> Self {
        self.functions.extend(functions);
        self
    }

    /// Says that the app knows of an event, or a family, that starts no function of its own: it is among the app's
    /// [`schemas`](App::schemas).
    #[must_use]
    pub fn event<E: EventFamily>(mut self) -> Self {
        self.events.extend(E::members());
        self
    }

    /// The shapes of the events that the app's functions run for, and of those it was told of: for programs in other
    /// languages.
    ///
    /// # Errors
    /// Two types of different shapes stand for one event.
    pub fn schemas(&self) -> Result<Schemas, SchemaError> {
        let functions = self.functions.iter();
        let events = functions.flat_map(|function| function.events.iter().cloned());
        let events = events.chain(self.events.iter().cloned());
        // What the server itself sends is not the app's to describe.
        let own = events.filter(|event| !event.name.starts_with(RESERVED_PREFIX));
        Schemas::of(self.client.app_id(), own)
    }

    /// Adds middleware to all functions, after the client's and before their own.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.middleware = self.middleware.with(Arc::new(middleware));
        self
    }

    /// How the app's functions report their steps, unless they say otherwise.
    #[must_use]
    pub fn checkpointing(mut self, checkpointing: Checkpointing) -> Self {
        self.checkpointing = checkpointing;
        self
    }

    /// The same app, whose client and steps hand their events to `sink`.
    #[must_use]
    pub fn with_event_sink(mut self, sink: impl crate::EventSink) -> Self {
        self.client = self.client.with_event_sink(sink);
        self
    }

    #[cfg(feature = "embedded")]
    pub(crate) fn with_client(mut self, client: Client) -> Self {
        self.client = client;
        self
    }

    /// The app's client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Checks the app and makes it ready to be called.
    ///
    /// # Errors
    /// [`AppError`] with the function at fault.
    pub fn runner(self) -> Result<Runner, AppError> {
        let app_id = self.client.app_id();
        if app_id.is_empty() {
            return Err(AppError::NoId);
        }
        let shared = self.client.middleware().then(&self.middleware);
        let mut callables = HashMap::new();
        for function in &self.functions {
            let id = function.id.clone();
            if let Some(problem) = function.problem() {
                return Err(AppError::Function { id, problem });
            }
            let public_id = function.public_id(app_id);
            let failure_handler = function
                .on_failure
                .clone()
                .map(|handler| (format!("{public_id}-failure"), handler));
            let own = [(public_id, Arc::clone(&function.handler))];
            for (public_id, handler) in own.into_iter().chain(failure_handler) {
                let callable = Callable {
                    handler,
                    middleware: shared.then(&function.middleware),
                    checkpointing: function.checkpointing.unwrap_or(self.checkpointing),
                    limits: Limits {
                        outside_steps_max: function.outside_steps_max,
                    },
                };
                if callables.insert(public_id, callable).is_some() {
                    return Err(AppError::DuplicateFunction(id));
                }
            }
        }
        Ok(Runner(Arc::new(Inner {
            client: self.client,
            version: self.version,
            functions: self.functions,
            callables,
        })))
    }
}

/// An app that is ready to be called, by whatever transport. Cloning shares it.
#[derive(Clone)]
pub struct Runner(Arc<Inner>);

struct Inner {
    client: Client,
    version: Option<String>,
    functions: Vec<Function>,
    callables: HashMap<String, Callable>,
}

/// Whether a worker shuts down.
type Closing = Arc<std::sync::atomic::AtomicBool>;

/// How a call has come.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) transport: Transport,
    /// The trace that it belongs to.
    pub(crate) trace: TraceContext,
    /// Set once the worker that has the call shuts down.
    pub(crate) closing: Option<Closing>,
}

struct Callable {
    handler: crate::function::ErasedHandler,
    middleware: Stack,
    limits: Limits,
    checkpointing: Checkpointing,
}

impl fmt::Debug for Runner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Runner")
            .field("app_id", &self.0.client.app_id())
            .field("functions", &self.0.functions)
            .finish_non_exhaustive()
    }
}

impl Runner {
    /// The app's client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// The app's functions, without their failure handlers.
    #[must_use]
    pub fn functions(&self) -> &[Function] {
        &self.0.functions
    }

    /// The app's own version.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.0.version.as_deref()
    }

    /// What a server is told of the app, reached at `url`.
    #[must_use]
    pub fn registration(&self, url: &str) -> Registration {
        let app_id = self.0.client.app_id();
        let configs = self
            .0
            .functions
            .iter()
            .flat_map(|function| function.registration(app_id, url));
        Registration {
            url: url.to_owned(),
            deploy_type: "ping".to_owned(),
            framework: "rust".to_owned(),
            app_name: app_id.to_owned(),
            app_version: self.0.version.clone(),
            sdk: crate::SDK_VERSION.to_owned(),
            v: "0.1".to_owned(),
            capabilities: Some(crate::serve::capabilities()),
            functions: configs.collect(),
        }
    }

    /// Runs a call of the function with this public id, and gives the answer for the server. Never panics:
    /// whatever the function does ends in an answer.
    ///
    /// A call with `use_api` must have been completed with its events and steps.
    pub async fn call(&self, function: &str, request: CallRequest) -> RawReply {
        self.answer(function, request).await.into_raw()
    }

    /// Runs a call as it came over a wire: `target` is the step, where the transport says it beside the body.
    pub(crate) async fn answer_body(
        &self,
        function: &str,
        target: Option<String>,
        body: &[u8],
        way: Way,
    ) -> CallReply {
        let failed = |message: String| {
            let body =
                serde_json::json!({"name": "Error", "message": message, "__serialized": true});
            CallReply::plain(500, body.to_string().into_bytes())
        };
        let mut call = match CallRequest::parse(body) {
            Ok(call) => call,
            Err(error) => return failed(format!("the call's body is not understood: {error}")),
        };
        if let Some(target) = target {
            call.ctx.step_id = target;
        }
        if (call.use_api || call.ctx.use_api)
            && let Err(error) = self.0.client.complete(&mut call).await
        {
            tracing::warn!(%error, run = %call.ctx.run_id, "a call's events and steps could not be fetched");
            return failed(error.to_string());
        }
        self.answer_in(function, call, way).await
    }

    pub(crate) async fn answer(&self, function: &str, request: CallRequest) -> CallReply {
        let way = Way {
            transport: Transport::Http,
            trace: TraceContext::default(),
            closing: None,
        };
        self.answer_in(function, request, way).await
    }

    /// Runs a call that came this way.
    pub(crate) async fn answer_in(
        &self,
        function: &str,
        request: CallRequest,
        way: Way,
    ) -> CallReply {
        let Way {
            transport,
            trace,
            closing,
        } = way;
        let Some(callable) = self.0.callables.get(function) else {
            return unknown_function(function);
        };
        let ctx = &request.ctx;
        let run = RunInfo {
            run_id: ctx.run_id,
            function_id: function.into(),
            event_name: event_name(request.events.first().unwrap_or(&request.event)).into(),
            attempt: ctx.attempt,
            max_attempts: ctx.max_attempts,
            request_id: ctx.request_id.as_str().into(),
            trace,
        };
        let span = tracing::info_span!("run", id = %run.run_id, function = %function);
        let reply = self
            .wrapped(callable, run, request, (transport, closing))
            .instrument(span.clone())
            .await;
        let clock = &**self.0.client.clock();
        callable.middleware.flush(clock).instrument(span).await;
        reply
    }

    /// The call within what middleware puts around it.
    async fn wrapped(
        &self,
        callable: &Callable,
        run: RunInfo,
        request: CallRequest,
        way: (Transport, Option<Closing>),
    ) -> CallReply {
        if callable.middleware.is_empty() {
            return self.run(callable, run, request, way).await;
        }
        let call = self.run(callable, run.clone(), request, way);
        let call = Box::pin(async { call.await.into_raw() });
        let wrapped = callable.middleware.wrap_request(&run, call);
        match caught(wrapped).await {
            Ok(raw) if StatusCode::from_u16(raw.status).is_ok() => CallReply::from_raw(raw),
            Ok(raw) => {
                let message = format!("a middleware answers with the status {}", raw.status);
                let error = Error::new("MiddlewareError", message);
                CallReply::failed(&error, is_final(&error, &run))
            }
            Err(error) => CallReply::failed(&error, is_final(&error, &run)),
        }
    }

    async fn run(
        &self,
        callable: &Callable,
        run: RunInfo,
        request: CallRequest,
        way: (Transport, Option<Closing>),
    ) -> CallReply {
        let target = match request.ctx.step_id.as_str() {
            DISCOVERY | "" => Target::Discovery {
                plan_only: request.ctx.disable_immediate_execution,
            },
            step => Target::Step(StepId::parse(step)),
        };
        let target_id = match &target {
            Target::Step(id) => Some(id.clone()),
            Target::Discovery { .. } => None,
        };
        let (transport, closing) = way;
        let checkpointer = self.checkpointer(callable, &request.ctx, &target, transport);
        let mut checkpointer = checkpointer.map(|it| it.until(closing));
        let call = Call {
            client: &self.0.client,
            middleware: &callable.middleware,
            handler: &*callable.handler,
            limits: callable.limits,
            run: &run,
            events: match request.events.is_empty() {
                true => vec![request.event],
                false => request.events,
            },
            steps: request.steps,
            completed: request.ctx.stack,
            defers: request.defers,
            target,
        };
        let Performed {
            ended,
            riders: mut deferred,
        } = call.perform(checkpointer.as_mut()).await;
        let mut riders = checkpointer.map_or(Vec::new(), |mut checkpointer| checkpointer.take());
        riders.append(&mut deferred);
        CallReply::of(&ended, riders, target_id.as_ref(), &run)
    }
}

impl Runner {
    /// What reports the steps of a call ahead of its answer, if that may be.
    fn checkpointer(
        &self,
        callable: &Callable,
        ctx: &CallContext,
        target: &Target,
        transport: Transport,
    ) -> Option<Checkpointer> {
        let discovers = *target == Target::Discovery { plan_only: false };
        // After a failure, the next step's attempts are counted anew only once this call's answer is there.
        let may_be = callable.checkpointing.is_on()
            && discovers
            && ctx.attempt == 0
            && !ctx.qi_id.is_empty();
        may_be.then(|| {
            let client = self.0.client.clone();
            let call = Checkpoint {
                run: ctx.run_id,
                function: ctx.fn_id,
                item: ctx.qi_id.clone(),
                request: ctx.request_id.clone(),
                generation: ctx.generation_id,
                started_ms: client.clock().now().unix_ms(),
            };
            Checkpointer::new(client, call, callable.checkpointing, transport)
        })
    }
}

/// Awaits a future; a panic of it is an error.
async fn caught<T>(mut future: BoxFuture<'_, T>) -> Result<T, Error> {
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(crate::execution::panic_error(&*payload))),
        },
    )
    .await
}

fn event_name(event: &SharedJson) -> String {
    #[derive(serde::Deserialize)]
    struct Named {
        #[serde(default)]
        name: String,
    }
    serde_json::from_str::<Named>(event.get())
        .map(|event| event.name)
        .unwrap_or_default()
}

fn unknown_function(function: &str) -> CallReply {
    let message =
        format!("Function \"{function}\" was not found in this app; is the app synced correctly?");
    let body = serde_json::json!({
        "type": "internal", "name": "Error", "message": message, "stack": format!("Error: {message}"),
        "__serialized": true,
    });
    CallReply::plain(500, body.to_string().into_bytes())
}
