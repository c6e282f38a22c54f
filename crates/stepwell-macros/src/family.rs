//! `#[derive(Event)]` on an enum: a family of events.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DataEnum, DeriveInput, Error, Fields, Ident, LitStr, Path, Result, Type};

const HINT: &str =
    "each variant of a family of events holds one event: write `Placed(OrderPlaced)`";

/// A variant: an event, or whatever else matches a pattern.
struct Variant<'a> {
    ident: &'a Ident,
    held: &'a Type,
    pattern: Option<LitStr>,
}

pub(crate) fn expand(input: &DeriveInput, data: &DataEnum) -> Result<TokenStream> {
    if let Some(parameter) = input.generics.params.first() {
        return Err(Error::new(
            parameter.span(),
            "a family of events cannot be generic: its variants hold known events",
        ));
    }
    if data.variants.is_empty() {
        return Err(Error::new(input.ident.span(), HINT));
    }
    let krate = read_crate(input)?;
    let mut variants = Vec::new();
    for variant in &data.variants {
        variants.push(read_variant(variant)?);
    }
    let family = &input.ident;
    let name = family.to_string();
    let members = variants.iter().map(|variant| {
        let held = variant.held;
        match &variant.pattern {
            Some(pattern) => quote_spanned!(pattern.span()=> #krate::Member::pattern(#pattern)),
            None => quote_spanned!(held.span()=> #krate::Member::of::<#held>()),
        }
    });
    let readers = variants.iter().map(|Variant { ident, held, pattern }| {
        let known = match pattern {
            Some(pattern) => quote!(#pattern),
            None => quote_spanned!(held.span()=> <#held as #krate::Event>::NAME),
        };
        quote_spanned! {held.span()=>
            (#known, |name, data| <#held as #krate::Payload>::from_event(name, data).map(Self::#ident))
        }
    });
    let count = variants.len();
    // What came by a pattern has no name by which it could be sent.
    let outgoing = variants
        .iter()
        .all(|variant| variant.pattern.is_none())
        .then(|| {
            let arms = variants.iter().map(|Variant { ident, held, .. }| {
                quote_spanned!(held.span()=> #family::#ident(event) => #krate::OutgoingEvent::new(&event))
            });
            quote! {
                #[automatically_derived]
                #[allow(unused_qualifications)]
                impl ::core::convert::From<#family> for #krate::OutgoingEvent {
                    fn from(event: #family) -> Self {
                        match event { #(#arms),* }
                    }
                }
            }
        });
    Ok(quote! {
        #[automatically_derived]
        #[allow(unused_qualifications)]
        impl #krate::Payload for #family {
            fn from_event(
                name: &str,
                data: #krate::__private::Value,
            ) -> ::core::result::Result<Self, ::std::vec::Vec<#krate::ValidationIssue>> {
                let variants: [#krate::__private::Variant<Self>; #count] = [#(#readers),*];
                #krate::__private::read_family(#name, &variants, name, data)
            }
        }

        #[automatically_derived]
        #[allow(unused_qualifications)]
        impl #krate::EventFamily for #family {
            fn members() -> ::std::vec::Vec<#krate::Member> {
                ::std::vec![#(#members),*]
            }
        }

        #outgoing
    })
}

fn read_variant(variant: &syn::Variant) -> Result<Variant<'_>> {
    let held = match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => &fields.unnamed[0].ty,
        _ => return Err(Error::new(variant.span(), HINT)),
    };
    let mut pattern: Option<LitStr> = None;
    for attribute in variant
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("event"))
    {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("pattern") {
                return Err(meta.error(
                    "unknown option; a variant takes pattern = \"...\", for whatever else matches it",
                ));
            }
            if pattern.is_some() {
                return Err(meta.error("given twice"));
            }
            let given: LitStr = meta.value()?.parse()?;
            let text = given.value();
            let ends = text.ends_with("/*") || text.ends_with(".*");
            if !ends || text.len() < 3 || text.matches('*').count() != 1 {
                return Err(Error::new(
                    given.span(),
                    "a pattern ends in /* or .* and has no other star: \"shop/*\", \"shop/order.*\"",
                ));
            }
            pattern = Some(given);
            Ok(())
        })?;
    }
    Ok(Variant {
        ident: &variant.ident,
        held,
        pattern,
    })
}

fn read_crate(input: &DeriveInput) -> Result<Path> {
    let mut krate: Path = syn::parse_quote!(::stepwell);
    for attribute in input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("event"))
    {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error(
                    "an enum is a family of events, and each of them has its own name; put an enum that is part of one event's data into a field of a struct",
                ));
            }
            krate = meta.value()?.parse::<LitStr>()?.parse()?;
            Ok(())
        })?;
    }
    Ok(krate)
}
