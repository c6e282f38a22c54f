//! Handlers of requests, behind one type.

use super::{Request, Response};
use crate::context::{FromRef, State};
use crate::{BoxFuture, Error};
use std::sync::Arc;

/// What an endpoint runs: an `async fn` that takes a [`Request`] and up to six [`State<T>`]s, and returns a `Result` of
/// anything that is [`Into<Response>`] and any error.
///
/// It is implemented for such functions and closures; there is no need to implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of requests with the state `{S}`",
    label = "not a handler",
    note = "a handler is an `async fn(Request, State<A>, State<B>, …) -> Result<Response, Error>`: the request first, then only `State<T>`s; the output is `Into<Response>`, and the future is `Send`"
)]
pub trait Handler<S, Args>: Clone + Send + Sync + 'static {
    /// Calls it.
    fn call(&self, request: Request, state: &S) -> BoxFuture<'static, Result<Response, Error>>;
}

macro_rules! handlers {
    ($(($($state:ident),*))*) => {$(
        #[allow(non_snake_case, unused_variables)]
        impl<F, Fut, Output, Failure, S, $($state),*> Handler<S, ($($state,)*)> for F
        where
            F: Fn(Request, $(State<$state>),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Result<Output, Failure>> + Send + 'static,
            Output: Into<Response>,
            Failure: Into<Error>,
            $($state: FromRef<S>,)*
        {
            fn call(&self, request: Request, state: &S) -> BoxFuture<'static, Result<Response, Error>> {
                $(let $state = State($state::from_ref(state));)*
                let future = self(request, $($state),*);
                Box::pin(async move { future.await.map(Into::into).map_err(Into::into) })
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

/// A handler with its state.
pub(super) type Code =
    Arc<dyn Fn(Request) -> BoxFuture<'static, Result<Response, Error>> + Send + Sync>;

pub(super) fn erase<S, Args>(handler: impl Handler<S, Args>, state: S) -> Code
where
    S: Send + Sync + 'static,
{
    Arc::new(move |request| handler.call(request, &state))
}
