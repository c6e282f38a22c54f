//! Several middlewares as one.

use super::{FunctionInput, Middleware, Outcome, RawReply, RunInfo, StandIn, StepInfo, StepInput};
use crate::client::SendError;
use crate::event::OutgoingEvent;
use crate::moment::Clock;
use crate::{BoxFuture, Error};
use http::Extensions;
use serde_json::Value;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use stepwell_protocol::{EventId, SharedJson, UserError};

/// Several middlewares, in order.
#[derive(Clone, Default)]
pub(crate) struct Stack(Arc<[Arc<dyn Middleware>]>);

impl fmt::Debug for Stack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} middlewares", self.0.len())
    }
}

impl Stack {
    /// These, then `middleware`.
    pub(crate) fn with(&self, middleware: Arc<dyn Middleware>) -> Self {
        Self(self.0.iter().cloned().chain([middleware]).collect())
    }

    /// These, then `others`.
    pub(crate) fn then(&self, others: &Self) -> Self {
        if others.0.is_empty() {
            return self.clone();
        }
        Self(self.0.iter().chain(others.0.iter()).cloned().collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Calls an `on_…` hook of each.
    pub(crate) fn notify(&self, hook: impl Fn(&dyn Middleware)) {
        for middleware in self.0.iter() {
            if catch_unwind(AssertUnwindSafe(|| hook(&**middleware))).is_err() {
                tracing::error!("a middleware hook panicked; the call goes on");
            }
        }
    }

    pub(crate) fn stand_in(
        &self,
        run: &RunInfo,
        step: &StepInfo,
        input: &Value,
    ) -> Option<StandIn> {
        self.0
            .iter()
            .find_map(|middleware| middleware.stand_in(run, step, input))
    }

    pub(crate) fn transform_input(
        &self,
        run: &RunInfo,
        events: Vec<SharedJson>,
    ) -> Result<(Vec<SharedJson>, Extensions), Error> {
        let mut input = FunctionInput::new(events);
        for middleware in self.0.iter() {
            middleware.transform_function_input(run, &mut input)?;
        }
        Ok(input.into_parts())
    }

    pub(crate) fn transform_step_input(
        &self,
        run: &RunInfo,
        step: &mut StepInput,
    ) -> Result<(), Error> {
        self.0
            .iter()
            .try_for_each(|middleware| middleware.transform_step_input(run, step))
    }

    pub(crate) fn transform_step_result(
        &self,
        run: &RunInfo,
        step: &StepInfo,
        result: &mut Result<SharedJson, UserError>,
    ) -> Result<(), Error> {
        self.0
            .iter()
            .try_for_each(|middleware| middleware.transform_step_result(run, step, result))
    }

    pub(crate) fn transform_send(&self, events: &mut Vec<OutgoingEvent>) -> Result<(), Error> {
        self.0
            .iter()
            .try_for_each(|middleware| middleware.transform_send_event(events))
    }

    pub(crate) fn wrap_request<'a>(
        &'a self,
        run: &'a RunInfo,
        innermost: BoxFuture<'a, RawReply>,
    ) -> BoxFuture<'a, RawReply> {
        self.wrap(innermost, |middleware, next| {
            Box::pin(async move { middleware.wrap_request(run, next).await })
        })
    }

    /// Around a function, whose future outlives this.
    pub(crate) fn wrap_function(
        &self,
        run: &RunInfo,
        innermost: Outcome<'static>,
    ) -> Outcome<'static> {
        self.0.iter().rev().fold(innermost, |next, middleware| {
            let (middleware, run) = (Arc::clone(middleware), run.clone());
            Box::pin(async move { middleware.wrap_function(&run, next).await })
        })
    }

    /// Around a step's code, whose future outlives this.
    pub(crate) fn wrap_step<'a>(
        &self,
        run: &RunInfo,
        step: &StepInfo,
        innermost: Outcome<'a>,
    ) -> Outcome<'a> {
        self.0.iter().rev().fold(innermost, |next, middleware| {
            let (middleware, run, step) = (Arc::clone(middleware), run.clone(), step.clone());
            Box::pin(async move { middleware.wrap_step(&run, &step, next).await })
        })
    }

    pub(crate) fn wrap_send<'a>(
        &'a self,
        events: &'a [OutgoingEvent],
        innermost: BoxFuture<'a, Result<Vec<EventId>, SendError>>,
    ) -> BoxFuture<'a, Result<Vec<EventId>, SendError>> {
        self.wrap(innermost, |middleware, next| {
            middleware.wrap_send(events, next)
        })
    }

    /// The last one innermost.
    fn wrap<'a, T>(
        &'a self,
        innermost: BoxFuture<'a, T>,
        wrap: impl Fn(&'a dyn Middleware, BoxFuture<'a, T>) -> BoxFuture<'a, T>,
    ) -> BoxFuture<'a, T> {
        self.0
            .iter()
            .rev()
            .fold(innermost, |next, middleware| wrap(&**middleware, next))
    }

    pub(crate) async fn flush(&self, clock: &dyn Clock) {
        for middleware in self.0.iter() {
            super::flush::flush(&**middleware, clock).await;
        }
    }
}
