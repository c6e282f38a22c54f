//! What tests put in the place of steps, and what they see of them.

use super::steps::label;
use crate::Error;
use crate::execution::{Memo, ended_memo, panic_error};
use crate::middleware::{Middleware, RunInfo, StandIn, StepInfo};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stepwell_protocol::call::MemoizedSteps;
use stepwell_protocol::op::{Op, Opcode};
use stepwell_protocol::{RunId, SharedJson, StepId, UserError};

/// Names steps: an id, of any function of the app, or `(function, id)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    function: Option<String>,
    id: String,
}

impl From<&str> for Steps {
    fn from(id: &str) -> Self {
        Self {
            function: None,
            id: id.to_owned(),
        }
    }
}

impl From<String> for Steps {
    fn from(id: String) -> Self {
        Self { function: None, id }
    }
}

impl From<(&str, &str)> for Steps {
    fn from((function, id): (&str, &str)) -> Self {
        Self {
            function: Some(function.to_owned()),
            id: id.to_owned(),
        }
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "step \"{}\"", self.id)?;
        match &self.function {
            Some(function) => write!(formatter, " of function \"{function}\""),
            None => Ok(()),
        }
    }
}

/// A step that is about to execute, as a mock or an observer sees it.
#[derive(Debug, Clone)]
pub struct StepCall {
    pub(super) run_id: RunId,
    pub(super) function_id: Arc<str>,
    pub(super) id: String,
    pub(super) index: usize,
    pub(super) attempt: u32,
    pub(super) input: Value,
}

impl StepCall {
    /// The run.
    #[must_use]
    pub fn run_id(&self) -> RunId {
        self.run_id
    }

    /// The public id of the function, `<app>-<function>`.
    #[must_use]
    pub fn function_id(&self) -> &str {
        &self.function_id
    }

    /// The step's id, as the function wrote it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Which use of the id it is, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Which attempt it is, from 0.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// What the step gets: the data of an invoked function, the request of a fetch or an inference, the options of a
    /// sleep or a wait; `null` for a step whose code takes no input but borrows what it needs (see
    /// [`Step::run_with`](crate::Step::run_with)).
    #[must_use]
    pub fn input(&self) -> &Value {
        &self.input
    }

    /// The same, decoded.
    ///
    /// # Errors
    /// When it is not a `T`.
    pub fn input_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
        Ok(serde_json::from_value(self.input.clone())?)
    }
}

/// A step that has ended, or an attempt of one that has failed, as an observer sees it.
#[derive(Debug, Clone)]
pub struct Observed {
    pub(super) call: StepCall,
    pub(super) result: Result<Value, UserError>,
    pub(super) is_final: bool,
}

impl Observed {
    /// The step.
    #[must_use]
    pub fn call(&self) -> &StepCall {
        &self.call
    }

    /// What it gave.
    ///
    /// # Errors
    /// What it failed with.
    pub fn result(&self) -> Result<&Value, &UserError> {
        self.result.as_ref()
    }

    /// Whether no other attempt of it comes.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.is_final
    }
}

type Answer = Box<dyn Fn(&StepCall) -> Result<SharedJson, Error> + Send + Sync>;
type Observer = Box<dyn Fn(&Observed) + Send + Sync>;

enum Place {
    Steps(Steps),
    /// Steps that invoke this function.
    Invoking(String),
}

enum Deed {
    Answer(Answer),
    /// Fails the first so many attempts.
    Fail(u32, Arc<Error>),
}

struct Rule {
    place: Place,
    deed: Deed,
    reached: AtomicUsize,
}

/// All that a test puts in the place of steps, and who observes them.
#[derive(Default)]
pub(super) struct StandIns {
    rules: Vec<Arc<Rule>>,
    observers: Vec<(Steps, Observer)>,
    apps: Vec<String>,
    seen: Mutex<Seen>,
}

/// A step of the server's that the function was called for instead.
pub(super) struct TakenOver {
    /// As the function asked for it.
    pub(super) op: Op,
    /// What it gives; nothing when the server is to carry it out after all.
    pub(super) outcome: Option<Result<SharedJson, Error>>,
}

#[derive(Default)]
struct Seen {
    /// The ids of steps as functions wrote them.
    names: HashMap<StepId, (String, usize)>,
    /// Steps that the server would carry out, and are called for instead.
    taken_over: HashMap<(RunId, StepId), Op>,
    /// Steps of the server's that observers heard of, or will.
    awaited: HashMap<(RunId, StepId), StepCall>,
    observed: HashSet<(RunId, StepId)>,
}

impl fmt::Debug for StandIns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} stand-ins", self.rules.len())
    }
}

impl StandIns {
    pub(super) fn answer(
        &mut self,
        steps: Steps,
        answer: impl Fn(&StepCall) -> Result<SharedJson, Error> + Send + Sync + 'static,
    ) {
        self.rule(Place::Steps(steps), Deed::Answer(Box::new(answer)));
    }

    pub(super) fn answer_invocations(
        &mut self,
        function: String,
        answer: impl Fn(&StepCall) -> Result<SharedJson, Error> + Send + Sync + 'static,
    ) {
        self.rule(Place::Invoking(function), Deed::Answer(Box::new(answer)));
    }

    pub(super) fn fail(&mut self, steps: Steps, times: u32, error: Error) {
        self.rule(Place::Steps(steps), Deed::Fail(times, Arc::new(error)));
    }

    pub(super) fn observe(
        &mut self,
        steps: Steps,
        observer: impl Fn(&Observed) + Send + Sync + 'static,
    ) {
        self.observers.push((steps, Box::new(observer)));
    }

    /// The apps whose functions may be named without the app.
    pub(super) fn set_apps(&mut self, apps: Vec<String>) {
        self.apps = apps;
    }

    fn rule(&mut self, place: Place, deed: Deed) {
        self.rules.push(Arc::new(Rule {
            place,
            deed,
            reached: AtomicUsize::new(0),
        }));
    }

    /// What was put somewhere and never reached.
    pub(super) fn unused(&self) -> Vec<String> {
        let unused = self
            .rules
            .iter()
            .filter(|rule| rule.reached.load(Ordering::Relaxed) == 0);
        unused
            .map(|rule| match (&rule.place, &rule.deed) {
                (Place::Steps(steps), Deed::Answer(_)) => format!("the mock of {steps}"),
                (Place::Steps(steps), Deed::Fail(..)) => format!("the failure of {steps}"),
                (Place::Invoking(function), _) => format!("the mock of function \"{function}\""),
            })
            .collect()
    }

    /// The id of a step as its function wrote it, and which use of it.
    pub(super) fn name_of(&self, step: &StepId) -> Option<(String, usize)> {
        self.seen().names.get(step).cloned()
    }

    /// The same, for people.
    pub(super) fn label_of(&self, step: &StepId) -> Option<String> {
        let (id, index) = self.name_of(step)?;
        Some(label(&id, index))
    }

    /// Whether `written`, with or without its app, is the function of this public id.
    pub(super) fn is_function(&self, written: &str, public_id: &str) -> bool {
        let of_app = |app: &String| {
            let rest = public_id.strip_prefix(app.as_str());
            rest.and_then(|rest| rest.strip_prefix('-')) == Some(written)
        };
        written == public_id || self.apps.iter().any(of_app)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn covers(&self, steps: &Steps, function_id: &str, id: &str) -> bool {
        let suits = |function: &String| self.is_function(function, function_id);
        steps.id == id && steps.function.as_ref().is_none_or(suits)
    }

    fn rules_for<'a>(
        &'a self,
        call: &'a StepCall,
        invoked: Option<&'a str>,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<Rule>> {
        self.rules.iter().filter(move |rule| match &rule.place {
            Place::Steps(steps) => self.covers(steps, &call.function_id, &call.id),
            Place::Invoking(function) => {
                invoked.is_some_and(|invoked| self.is_function(function, invoked))
            }
        })
    }

    /// What stands in for a step: failures first, then the mock that was given last.
    fn find(&self, call: &StepCall, invoked: Option<&str>) -> Option<Arc<Rule>> {
        let fails = |rule: &&Arc<Rule>| match rule.deed {
            Deed::Fail(times, _) => call.attempt < times,
            Deed::Answer(_) => false,
        };
        let answers = |rule: &&Arc<Rule>| matches!(rule.deed, Deed::Answer(_));
        let failing = self.rules_for(call, invoked).find(fails);
        let found = failing.or_else(|| self.rules_for(call, invoked).rev().find(answers))?;
        Some(Arc::clone(found))
    }

    fn note(&self, id: StepId, name: &str, index: usize) {
        self.seen()
            .names
            .entry(id)
            .or_insert_with(|| (name.to_owned(), index));
    }

    fn notify(&self, call: &StepCall, result: Result<Value, UserError>, is_final: bool) {
        let mut concerned = self
            .observers
            .iter()
            .filter(|(steps, _)| self.covers(steps, &call.function_id, &call.id))
            .peekable();
        if concerned.peek().is_none() {
            return;
        }
        let observed = Observed {
            call: call.clone(),
            result,
            is_final,
        };
        for (_, observer) in concerned {
            observer(&observed);
        }
    }

    fn is_observed(&self, call: &StepCall) -> bool {
        let mut steps = self.observers.iter().map(|(steps, _)| steps);
        steps.any(|steps| self.covers(steps, &call.function_id, &call.id))
    }

    /// Looks at a step that the server is asked for: whether the function is to be called for it instead.
    pub(super) fn takes_over(&self, run: &RunInfo, op: &Op) -> bool {
        let Some(named) = &op.userland else {
            return false;
        };
        let index = usize::try_from(named.index).unwrap_or(usize::MAX);
        self.note(op.id.clone(), &named.id, index);
        if !is_the_servers(op.op) {
            return false;
        }
        let call = call_of_op(run, op);
        let key = (run.run_id, op.id.clone());
        if self.is_observed(&call) {
            self.seen().awaited.insert(key.clone(), call.clone());
        }
        // A step with failures is taken over even when none is due in this attempt: it is its first.
        let first = StepCall { attempt: 0, ..call };
        if self.find(&first, invoked(op)).is_none() {
            return false;
        }
        self.seen().taken_over.insert(key, op.clone());
        true
    }

    /// What the call for a step gives that was taken over.
    pub(super) fn call_for(&self, run: &RunInfo, step: &StepId) -> Option<TakenOver> {
        let key = (run.run_id, step.clone());
        let op = self.seen().taken_over.get(&key)?.clone();
        let call = call_of_op(run, &op);
        let rule = self.find(&call, invoked(&op));
        let outcome = rule.map(|rule| rule.act(&call));
        Some(TakenOver { op, outcome })
    }

    /// Tells observers of the server's steps that have ended since the last call.
    pub(super) fn results_came(&self, run: RunId, steps: &MemoizedSteps) {
        if self.seen().awaited.is_empty() {
            return;
        }
        for (step, value) in &steps.0 {
            let key = (run, step.clone());
            let call = {
                let mut seen = self.seen();
                let Some(call) = seen.awaited.get(&key).cloned() else {
                    continue;
                };
                if !seen.observed.insert(key) {
                    continue;
                }
                call
            };
            if let Some(memo) = ended_memo(value) {
                let result = match memo {
                    Memo::Data(data) => Ok(serde_json::from_str(data.get()).unwrap_or_default()),
                    Memo::Failed(error) => Err(*error),
                };
                self.notify(&call, result, true);
            }
        }
    }
}

impl Rule {
    fn act(&self, call: &StepCall) -> Result<SharedJson, Error> {
        self.reached.fetch_add(1, Ordering::Relaxed);
        match &self.deed {
            Deed::Fail(_, error) => Err(again(error)),
            Deed::Answer(answer) => catch_unwind(AssertUnwindSafe(|| answer(call)))
                .unwrap_or_else(|payload| Err(panic_error(&*payload))),
        }
    }
}

/// Steps that the server carries out, rather than code of the app.
fn is_the_servers(op: Opcode) -> bool {
    matches!(
        op,
        Opcode::Sleep
            | Opcode::WaitForEvent
            | Opcode::WaitForSignal
            | Opcode::InvokeFunction
            | Opcode::AiGateway
            | Opcode::Gateway
    )
}

fn invoked(op: &Op) -> Option<&str> {
    op.option("function_id")
        .filter(|_| op.op == Opcode::InvokeFunction)
}

fn call_of_op(run: &RunInfo, op: &Op) -> StepCall {
    let named = op.userland.clone().unwrap_or_default();
    let opts = op.opts.as_ref();
    let field = |name| opts.and_then(|opts| opts.get(name));
    let input = match op.op {
        Opcode::InvokeFunction => field("payload")
            .and_then(|payload| payload.get("data"))
            .cloned(),
        _ => field("input")
            .cloned()
            .or_else(|| opts.cloned().map(Value::Object)),
    };
    StepCall {
        run_id: run.run_id,
        function_id: Arc::clone(&run.function_id),
        id: named.id,
        index: usize::try_from(named.index).unwrap_or(usize::MAX),
        attempt: run.attempt,
        input: input.unwrap_or_default(),
    }
}

/// What a step's code gets, of its list of arguments.
fn argument(input: &Value) -> Value {
    match input {
        Value::Array(arguments) if arguments.len() == 1 => arguments[0].clone(),
        input => input.clone(),
    }
}

fn call_of_step(run: &RunInfo, step: &StepInfo, input: &Value) -> StepCall {
    StepCall {
        run_id: run.run_id,
        function_id: Arc::clone(&run.function_id),
        id: step.id.clone(),
        index: step.index,
        attempt: run.attempt,
        input: argument(input),
    }
}

/// An error that is raised again and again.
#[derive(Debug)]
struct Again(Arc<Error>);

impl fmt::Display for Again {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl StdError for Again {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.as_std().source()
    }
}

fn again(error: &Arc<Error>) -> Error {
    Error::of_name(
        Cow::Owned(error.name().to_owned()),
        Box::new(Again(Arc::clone(error))),
    )
}

/// The stand-ins as middleware: where functions of the app run steps.
pub(super) struct AtSteps(pub(super) Arc<StandIns>);

impl Middleware for AtSteps {
    fn on_step_start(&self, _: &RunInfo, step: &StepInfo) {
        let id = StepId::of(&step.id, step.index);
        self.0.note(id, &step.id, step.index);
    }

    fn stand_in(&self, run: &RunInfo, step: &StepInfo, input: &Value) -> Option<StandIn> {
        let call = call_of_step(run, step, input);
        let rule = self.0.find(&call, None)?;
        Some(Box::pin(async move { rule.act(&call) }))
    }

    fn on_step_complete(&self, run: &RunInfo, step: &StepInfo, output: &RawValue) {
        let call = call_of_step(run, step, &Value::Null);
        let output = serde_json::from_str(output.get()).unwrap_or_default();
        self.0.notify(&call, Ok(output), true);
    }

    fn on_step_error(&self, run: &RunInfo, step: &StepInfo, error: &Error, is_final: bool) {
        let call = call_of_step(run, step, &Value::Null);
        self.0.notify(&call, Err(error.to_wire()), is_final);
    }
}
