//! `#[function]`.

mod options;
mod signature;

pub(crate) use options::Options;
use options::Trigger;
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use signature::Signature;
use syn::spanned::Spanned;
use syn::{Error, ItemFn, Result};

pub(crate) fn expand(options: &Options, function: &ItemFn) -> Result<TokenStream> {
    let signature = Signature::read(function)?;
    let name = &function.sig.ident;
    let id = options.id(name)?;
    let krate = options.krate();
    let visibility = &function.vis;
    let (docs, others): (Vec<_>, Vec<_>) = function
        .attrs
        .iter()
        .partition(|attribute| attribute.path().is_ident("doc"));
    let payload = signature.payload(&krate);
    let triggers = triggers(options, &payload);
    let calls = options.settings.iter().map(|setting| {
        let (method, value) = (&setting.method, &setting.value);
        quote_spanned!(value.span()=> .#method(#value))
    });
    let handler = format_ident!("handler", span = name.span());
    let mut inner = function.clone();
    inner.attrs = others.into_iter().cloned().collect();
    inner.vis = syn::Visibility::Inherited;
    inner.sig.ident = handler.clone();
    let output = &signature.output;
    let on_failure = options
        .on_failure
        .as_ref()
        .map(|path| quote_spanned!(path.span()=> .on_failure(#path)));
    let (generics, parameter, bounds, state) = match (&options.state, signature.states.is_empty()) {
        (Some(state), _) => (
            None,
            Some(quote!(state: #state)),
            None,
            Some(quote_spanned!(state.span()=> .state(state))),
        ),
        (None, true) => (None, None, None, None),
        (None, false) => {
            let states = &signature.states;
            let bounds = states
                .iter()
                .map(|taken| quote_spanned!(taken.span()=> #taken: #krate::FromRef<AppState>,));
            (
                Some(quote!(<AppState>)),
                Some(quote!(state: AppState)),
                Some(quote! {
                    where
                        AppState: ::core::clone::Clone + ::core::marker::Send + ::core::marker::Sync + 'static,
                        #(#bounds)*
                }),
                Some(quote!(.state(state))),
            )
        }
    };
    let about = format!(
        "What others need to know of the function `{}`: its id, and how to invoke it.",
        id.value()
    );
    Ok(quote! {
        #[doc = #about]
        #[allow(non_camel_case_types, dead_code)]
        #visibility struct #name {}

        #[allow(dead_code, unused_qualifications, private_interfaces)]
        impl #name {
            /// The function's id within its app.
            #visibility const ID: &'static str = #id;
            /// How functions of the same app invoke it.
            #visibility const REF: #krate::FunctionRef<
                #payload,
                <#output as #krate::__private::HandlerOutput>::Output,
            > = #krate::FunctionRef::new(#id);
        }

        #(#docs)*
        #[allow(unused_qualifications)]
        #visibility fn #name #generics (#parameter) -> #krate::Function #bounds {
            #inner
            #krate::Function::new(#id) #triggers #(#calls)* #state #on_failure .handler(#handler)
        }
    })
}

/// The builder's calls that say what starts the function.
fn triggers(options: &Options, payload: &TokenStream) -> TokenStream {
    let Some((first, others)) = options.triggers.split_first() else {
        return match options.deferred {
            true => quote!(.on_deferred::<#payload>()),
            false => quote!(.on_invoke_with::<#payload>()),
        };
    };
    let first = match first {
        Trigger::Type(event, None) => quote_spanned!(event.span()=> .on::<#event>()),
        Trigger::Type(event, Some(condition)) => {
            quote_spanned!(event.span()=> .on_if::<#event>(#condition))
        }
        Trigger::Name(name, None) => {
            quote_spanned!(name.span()=> .on_invoke_with::<#payload>().or_on_event(#name))
        }
        Trigger::Name(name, Some(condition)) => {
            quote_spanned!(name.span()=> .on_invoke_with::<#payload>().or_on_event_if(#name, #condition))
        }
        Trigger::Cron(schedule) => quote_spanned!(schedule.span()=> .cron(#schedule)),
    };
    let others = others.iter().map(|trigger| match trigger {
        Trigger::Type(event, None) => quote_spanned!(event.span()=> .or_on::<#event>()),
        Trigger::Type(event, Some(condition)) => {
            quote_spanned!(event.span()=> .or_on_if::<#event>(#condition))
        }
        Trigger::Name(name, None) => quote_spanned!(name.span()=> .or_on_event(#name)),
        Trigger::Name(name, Some(condition)) => {
            quote_spanned!(name.span()=> .or_on_event_if(#name, #condition))
        }
        Trigger::Cron(schedule) => quote_spanned!(schedule.span()=> .or_cron(#schedule)),
    });
    quote!(#first #(#others)*)
}

/// An error at a place.
fn refuse<T>(place: &impl Spanned, message: impl std::fmt::Display) -> Result<T> {
    Err(Error::new(place.span(), message))
}
