//! Macros of the `stepwell` crate; use them from there.

mod event;
mod family;
mod from_ref;
mod function;

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
///
/// On an enum it makes a family of events, for functions that take several: each variant holds one event, or, with
/// `#[event(pattern = "shop/*")]`, what else matches a pattern.
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

/// Makes a function's value of its handler: what the builder `stepwell::Function::new(..)` makes, written in one place.
///
/// The handler becomes a function that returns the value, and takes the state if the handler does. Beside it stands a
/// type of the same name with `ID`, and with `REF`, by which other functions invoke it.
///
/// `#[function(...)]` takes:
/// - `id = "..."`: the id within the app; the handler's name with dashes when none is given.
/// - `on = OrderPlaced`, `on(OrderPlaced, if = "event.data.total > 100")`, `on = "shop/*"`: an event, a family of them, a
///   name or a pattern. May come several times.
/// - `cron = "0 5 * * 1-5"`, or a `Cron`.
/// - `deferred`: runs when a run that deferred it has ended. With none of these three, it runs when it is invoked.
/// - `on_failure = handler`: what runs when a run has failed for good.
/// - `state = Deps`: the type of the state; needed when only the `on_failure` handler takes parts of it.
/// - every setting of the builder, with what its method takes: `retries = 3`, `concurrency = Concurrency::limit(5)`, …
/// - `crate = "..."`: the path of the `stepwell` crate, when it goes by another name.
#[proc_macro_attribute]
pub fn function(options: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::ItemFn);
    let options = syn::parse::<function::Options>(options);
    let expanded = options.and_then(|options| function::expand(&options, &item));
    let expanded = expanded.unwrap_or_else(|error| {
        // The handler stays, so that nothing else is said to be missing.
        let error = error.into_compile_error();
        quote::quote!(#error #item)
    });
    expanded.into()
}
