//! A handler's signature.

use super::refuse;
use proc_macro2::TokenStream;
use quote::quote;
use syn::{FnArg, GenericArgument, ItemFn, PathArguments, Result, ReturnType, Type};

const CONTEXT: &str =
    "a handler takes its context first: write `ctx: Context<E>`, where `E` is the event";

/// What a handler takes and gives.
pub(super) struct Signature {
    /// What its context is of; nothing for data of any shape.
    payload: Option<Type>,
    /// What it takes out of the function's state.
    pub(super) states: Vec<Type>,
    pub(super) output: Type,
}

impl Signature {
    pub(super) fn read(function: &ItemFn) -> Result<Self> {
        let signature = &function.sig;
        if signature.asyncness.is_none() {
            return refuse(
                &signature.fn_token,
                "a handler is asynchronous: write `async fn`",
            );
        }
        if let Some(parameter) = signature.generics.params.first() {
            return refuse(
                parameter,
                "a handler cannot be generic: its id stands for one function",
            );
        }
        let ReturnType::Type(_, output) = &signature.output else {
            return refuse(
                &signature.ident,
                "a handler returns a result: write `-> Result<(), stepwell::Error>`",
            );
        };
        let mut inputs = signature.inputs.iter();
        let Some(first) = inputs.next() else {
            return refuse(&signature.ident, CONTEXT);
        };
        let payload = match argument_of(typed(first)?, "Context") {
            Some(payload) => payload,
            None => return refuse(first, CONTEXT),
        };
        let mut states = Vec::new();
        for input in inputs {
            match argument_of(typed(input)?, "State") {
                Some(Some(taken)) => states.push(taken),
                _ => {
                    return refuse(
                        input,
                        "after its context a handler takes only what is in the function's state: write `State(mailer): State<Mailer>`",
                    );
                }
            }
        }
        Ok(Self {
            payload,
            states,
            output: (**output).clone(),
        })
    }

    pub(super) fn payload(&self, krate: &syn::Path) -> TokenStream {
        match &self.payload {
            Some(payload) => quote!(#payload),
            None => quote!(#krate::__private::Value),
        }
    }
}

fn typed(input: &FnArg) -> Result<&Type> {
    match input {
        FnArg::Typed(input) => Ok(&input.ty),
        FnArg::Receiver(receiver) => refuse(
            receiver,
            "a handler has no `self`: what it needs is in the function's state",
        ),
    }
}

/// The type argument of a type by this name: `None` if it is another type, `Some(None)` if it has no argument.
fn argument_of(given: &Type, name: &str) -> Option<Option<Type>> {
    let Type::Path(path) = given else { return None };
    let last = path.path.segments.last()?;
    if last.ident != name {
        return None;
    }
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return Some(None);
    };
    let argument = arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(argument) => Some(argument.clone()),
        _ => None,
    });
    Some(argument)
}
