//! References to functions: what another function has to know to invoke one.

use std::fmt;
use std::marker::PhantomData;

/// A function by its id, with the types of what it takes and what it returns. It need not be one of this program, nor in
/// Rust.
///
/// ```
/// # use stepwell::FunctionRef;
/// #[derive(serde::Serialize)]
/// struct Charge { cents: u64 }
///
/// /// The function `charge` of this app.
/// const CHARGE: FunctionRef<Charge, String> = FunctionRef::new("charge");
/// /// The function `refund` of the app `billing`.
/// const REFUND: FunctionRef<Charge, ()> = FunctionRef::new("refund").of_app("billing");
/// ```
pub struct FunctionRef<I, O> {
    id: &'static str,
    app: Option<&'static str>,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> FunctionRef<I, O> {
    /// The function of this id in the app that invokes it.
    #[must_use]
    pub const fn new(id: &'static str) -> Self {
        Self {
            id,
            app: None,
            types: PhantomData,
        }
    }

    /// The function of that id in another app.
    #[must_use]
    pub const fn of_app(self, app: &'static str) -> Self {
        Self {
            app: Some(app),
            ..self
        }
    }

    /// The function's id within its app.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        self.id
    }

    /// The id under which servers know it, as seen from an app.
    #[must_use]
    pub fn public_id(&self, from_app: &str) -> String {
        format!("{}-{}", self.app.unwrap_or(from_app), self.id)
    }
}

impl<I, O> Clone for FunctionRef<I, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I, O> Copy for FunctionRef<I, O> {}

impl<I, O> fmt::Debug for FunctionRef<I, O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let app = self.app.unwrap_or("this app");
        write!(formatter, "FunctionRef({} of {app})", self.id)
    }
}
