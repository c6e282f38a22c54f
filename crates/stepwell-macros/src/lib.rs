//! Derive macros of the `stepwell` crate; use them from there.

mod event;
mod from_ref;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct an event.
///
/// The struct also derives `Serialize`, `Deserialize` and `schemars::JsonSchema`; its fields are the event's
/// `data`.
///
/// `#[event(...)]` takes:
/// - `name = "..."`: the event's name on the wire. Required.
/// - `version = "..."`: the version of the payload's shape, sent as `v`.
/// - `validate`: check values with `garde::Validate`, which the struct derives. Implied by any `#[garde(...)]`
///   attribute on the struct or its fields.
/// - `crate = "..."`: the path of the `stepwell` crate, when it goes by another name.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    event::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Lets each field of a struct be taken out of it as a `State<T>` of a handler.
///
/// Fields of one type clash; mark all but one `#[from_ref(skip)]`.
#[proc_macro_derive(FromRef, attributes(from_ref))]
pub fn derive_from_ref(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    from_ref::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
