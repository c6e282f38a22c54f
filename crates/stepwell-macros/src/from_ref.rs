//! `#[derive(FromRef)]`.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Result};

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(
            input.ident.span(),
            "derive FromRef on the struct that holds what handlers need",
        ));
    };
    if let Some(parameter) = input.generics.params.first() {
        return Err(Error::new(
            parameter.span(),
            "FromRef cannot be derived for a generic struct",
        ));
    }
    let state = &input.ident;
    let mut output = TokenStream::new();
    for (index, field) in data.fields.iter().enumerate() {
        if is_skipped(field)? {
            continue;
        }
        let field_type = &field.ty;
        let member = match &field.ident {
            Some(ident) => syn::Member::Named(ident.clone()),
            None => syn::Member::Unnamed(index.into()),
        };
        output.extend(quote_spanned! {field_type.span()=>
            #[automatically_derived]
            #[allow(unused_qualifications)]
            impl ::stepwell::FromRef<#state> for #field_type {
                fn from_ref(state: &#state) -> Self {
                    ::core::clone::Clone::clone(&state.#member)
                }
            }
        });
    }
    Ok(output)
}

fn is_skipped(field: &syn::Field) -> Result<bool> {
    let mut skipped = false;
    for attribute in field
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("from_ref"))
    {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("skip") {
                return Err(meta.error("unknown option; a field takes #[from_ref(skip)]"));
            }
            skipped = true;
            Ok(())
        })?;
    }
    Ok(skipped)
}
