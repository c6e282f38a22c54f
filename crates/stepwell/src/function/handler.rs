//! Handlers: the functions that users write, behind one type.

use crate::context::{Context, FromRef, State};
use crate::event::{Payload, Received};
use crate::execution::Execution;
use crate::step::to_json;
use crate::{BoxFuture, Error};
use serde::Serialize;
use std::sync::Arc;
use stepwell_protocol::SharedJson;

/// What a function runs: an `async fn` that takes a [`Context<E>`] and up to six [`State<T>`]s, and returns a
/// `Result` of anything serialisable and any error.
///
/// It is implemented for such functions and closures; there is no need to implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler for events of type `{E}` with the state `{S}`",
    label = "not a handler",
    note = "a handler is an `async fn(Context<{E}>, State<A>, State<B>, …) -> Result<Output, Error>`: the context first, then only `State<T>`s; the output is `Serialize`, and the future is `Send`",
    note = "the type of the context's event must be the one given to `.on::<E>()`"
)]
pub trait Handler<E, S, Args>: Clone + Send + Sync + 'static {
    /// Calls it.
    fn call(&self, ctx: Context<E>, state: &S) -> BoxFuture<'static, Result<SharedJson, Error>>;
}

macro_rules! handlers {
    ($(($($state:ident),*))*) => {$(
        #[allow(non_snake_case, unused_variables)]
        impl<F, Fut, Output, Failure, E, S, $($state),*> Handler<E, S, ($($state,)*)> for F
        where
            F: Fn(Context<E>, $(State<$state>),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Result<Output, Failure>> + Send + 'static,
            Output: Serialize,
            Failure: Into<Error>,
            $($state: FromRef<S>,)*
        {
            fn call(&self, ctx: Context<E>, state: &S) -> BoxFuture<'static, Result<SharedJson, Error>> {
                $(let $state = State($state::from_ref(state));)*
                let future = self(ctx, $($state),*);
                Box::pin(async move {
                    match future.await {
                        Ok(output) => to_json(&output),
                        Err(error) => Err(error.into()),
                    }
                })
            }
        }
    )*};
}

handlers! {
    ()
    (A)
    (A, B)
    (A, B, C)
    (A, B, C, D)
    (A, B, C, D, G)
    (A, B, C, D, G, H)
}

/// What a handler's result holds when all is well.
#[doc(hidden)]
pub trait HandlerOutput {
    type Output;
}

impl<T, E> HandlerOutput for Result<T, E> {
    type Output = T;
}

/// A handler with its state, of any type.
pub(crate) type ErasedHandler = Arc<FunctionCode>;

/// The same, not shared: takes the events of a call.
pub(crate) type FunctionCode = dyn Fn(
        Arc<Execution>,
        &[SharedJson],
    ) -> Result<BoxFuture<'static, Result<SharedJson, Error>>, Error>
    + Send
    + Sync;

pub(crate) fn erase<E, S, Args, H>(handler: H, state: S) -> ErasedHandler
where
    E: Payload,
    S: Send + Sync + 'static,
    H: Handler<E, S, Args>,
{
    Arc::new(move |execution, events| {
        let mut received = Vec::with_capacity(events.len());
        let mut problems = Vec::new();
        for event in events {
            match Received::<E>::decode(event) {
                Ok(event) => received.push(event),
                Err(invalid) => problems.push(invalid.to_string()),
            }
        }
        if received.is_empty() && problems.is_empty() {
            problems.push("the call carries no event".to_owned());
        }
        if !problems.is_empty() {
            return Err(Error::new("InvalidEvent", problems.join("\n")).non_retriable());
        }
        Ok(handler.call(Context::new(execution, received), &state))
    })
}
