//! `#[derive(Event)]`.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Fields, LitStr, Path, Result};

/// A trigger takes at most this many bytes of a name.
const NAME_BYTES_MAX: usize = 255;

#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    version: Option<LitStr>,
    validate: bool,
    krate: Option<Path>,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    if let Data::Enum(data) = &input.data {
        return crate::family::expand(input, data);
    }
    let fields = named_fields(input)?;
    if let Some(parameter) = input.generics.params.first() {
        return Err(Error::new(
            parameter.span(),
            "an event cannot be generic: its name stands for one shape of data",
        ));
    }
    let options = read_options(input)?;
    let name = options.name.as_ref().ok_or_else(|| {
        Error::new(
            input.ident.span(),
            "an event needs a name: write #[event(name = \"...\")] above the struct",
        )
    })?;
    check_name(name)?;

    let has_garde = |attributes: &[Attribute]| {
        attributes
            .iter()
            .any(|attribute| attribute.path().is_ident("garde"))
    };
    let validated = options.validate
        || has_garde(&input.attrs)
        || fields.iter().any(|field| has_garde(&field.attrs));

    let ident = &input.ident;
    let krate = options
        .krate
        .clone()
        .unwrap_or_else(|| syn::parse_quote!(::stepwell));
    let version = match &options.version {
        Some(version) => quote_spanned!(version.span()=> ::core::option::Option::Some(#version)),
        None => quote_spanned!(ident.span()=> ::core::option::Option::None),
    };
    let validate = if validated {
        quote_spanned!(ident.span()=> #krate::__private::validate_with_garde(self))
    } else {
        quote_spanned!(ident.span()=> ::core::result::Result::Ok(()))
    };
    Ok(quote_spanned! {ident.span()=>
        #[automatically_derived]
        #[allow(unused_qualifications)]
        impl #krate::Event for #ident {
            const NAME: &'static str = #name;
            const VERSION: ::core::option::Option<&'static str> = #version;

            fn validate(&self) -> ::core::result::Result<(), ::std::vec::Vec<#krate::ValidationIssue>> {
                #validate
            }

            fn schema() -> #krate::schemars::Schema {
                #krate::__private::schema_of::<Self>()
            }
        }
    })
}

fn named_fields(
    input: &DeriveInput,
) -> Result<&syn::punctuated::Punctuated<syn::Field, syn::Token![,]>> {
    const HINT: &str =
        "an event's data is a JSON object: derive Event on a struct with named fields";
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Ok(&fields.named),
            Fields::Unnamed(_) | Fields::Unit => Err(Error::new(input.ident.span(), HINT)),
        },
        Data::Enum(data) => Err(Error::new(data.enum_token.span(), HINT)),
        Data::Union(data) => Err(Error::new(data.union_token.span(), HINT)),
    }
}

fn read_options(input: &DeriveInput) -> Result<Options> {
    let mut options = Options::default();
    for attribute in input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("event"))
    {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                once(&meta, options.name.is_some())?;
                options.name = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("version") {
                once(&meta, options.version.is_some())?;
                options.version = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("validate") {
                once(&meta, options.validate)?;
                options.validate = true;
            } else if meta.path.is_ident("crate") {
                once(&meta, options.krate.is_some())?;
                options.krate = Some(meta.value()?.parse::<LitStr>()?.parse()?);
            } else {
                return Err(meta.error(
                    "unknown option; an event takes name = \"...\", version = \"...\", validate and crate = \"...\"",
                ));
            }
            Ok(())
        })?;
    }
    Ok(options)
}

fn once(meta: &syn::meta::ParseNestedMeta<'_>, already: bool) -> Result<()> {
    if already {
        return Err(meta.error("given twice"));
    }
    Ok(())
}

fn check_name(name: &LitStr) -> Result<()> {
    let text = name.value();
    let reserved = text
        .get(.."inngest/".len())
        .is_some_and(|start| start.eq_ignore_ascii_case("inngest/"));
    let problem = if text.is_empty() {
        "an event's name cannot be empty"
    } else if text.len() > NAME_BYTES_MAX {
        "an event's name has at most 255 bytes"
    } else if reserved {
        "names that start with inngest/ belong to the server"
    } else if text.contains('*') {
        "an event has one exact name; a pattern is given to a function as its trigger"
    } else if text.trim() != text {
        "an event's name cannot start or end with a space"
    } else {
        return Ok(());
    };
    Err(Error::new(name.span(), problem))
}
