//! `GET /openapi.json`: the API described, from the descriptions that stand beside the handlers.

use super::{locked, open};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::sync::OnceLock;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, ObjectBuilder, OpenApi, Ref, RefOr, ResponseBuilder,
    Schema, Type,
};

/// What ids of runs and events look like.
const ULID: &str = "^[0-7][0-9A-HJKMNP-TV-Z]{25}$";
/// What the key is called in the document.
const KEY: &str = "signingKey";

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "Server",
    responses((status = 200, body = serde_json::Value)))]
pub(super) async fn serve() -> Response {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    let text = DOCUMENT.get_or_init(|| {
        let text = document().to_json().expect("the document is made of texts");
        Bytes::from(text)
    });
    ([(CONTENT_TYPE, "application/json")], text.clone()).into_response()
}

/// The document. It does not depend on how a server is set up.
pub(super) fn document() -> OpenApi {
    let mut document = open().split_for_parts().1;
    let mut locked = locked().split_for_parts().1;
    for item in locked.paths.paths.values_mut() {
        for (_, operation) in operations(item) {
            lock(operation);
        }
    }
    document.merge(locked);
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(name(method, path));
            complete(path, operation);
        }
    }
    document.info = InfoBuilder::new()
        .title("Stepwell")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Events come in, functions run, runs are read. What is under /v2 is under /api/v2 as well.",
        ))
        .build();
    let components = document.components.take().unwrap_or_default();
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components = Some(
        ComponentsBuilder::from(components)
            .security_scheme(KEY, scheme)
            .build(),
    );
    document.servers = None;
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem {
        get,
        put,
        post,
        delete,
        options,
        head,
        patch,
        trace,
        ..
    } = item;
    [
        ("get", get),
        ("put", put),
        ("post", post),
        ("delete", delete),
        ("options", options),
        ("head", head),
        ("patch", patch),
        ("trace", trace),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// What programs that are made from the document call an operation: `getV2RunsRunTrace`.
fn name(method: &str, path: &str) -> String {
    let words = path.split(|letter: char| !letter.is_ascii_alphanumeric());
    let mut name = method.to_owned();
    for word in words.filter(|word| !word.is_empty()) {
        name.push_str(&word[..1].to_ascii_uppercase());
        name.push_str(&word[1..]);
    }
    name
}

/// Says that an operation wants the signing key, if the server has one.
fn lock(operation: &mut Operation) {
    let key = SecurityRequirement::new(KEY, Vec::<String>::new());
    operation.security = Some(vec![SecurityRequirement::default(), key]);
    let text = Content::new(Some(Schema::from(
        ObjectBuilder::new().schema_type(Type::String),
    )));
    let refused = ResponseBuilder::new()
        .description("The signing key is wanted.")
        .content("text/plain", text)
        .build();
    let responses = &mut operation.responses.responses;
    responses.insert("401".to_owned(), RefOr::T(refused));
}

/// Adds what every operation may answer, and the words for what is answered without any.
fn complete(path: &str, operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let is_id = matches!(&*parameter.name, "run" | "event");
        if is_id && parameter.parameter_in == ParameterIn::Path {
            let ulid = ObjectBuilder::new().schema_type(Type::String);
            parameter.schema = Some(Schema::from(ulid.pattern(Some(ULID))).into());
        }
    }
    let has_body = operation.request_body.is_some();
    let responses = &mut operation.responses.responses;
    let refusal = if path.starts_with("/v2/") {
        "Errors"
    } else {
        "Failure"
    };
    let mut codes = vec![500, 503];
    if has_body {
        codes.extend([400, 408, 413]);
    }
    for code in codes {
        let content = Content::new(Some(Ref::from_schema_name(refusal)));
        let response = ResponseBuilder::new().content("application/json", content);
        let known = responses.entry(code.to_string());
        known.or_insert_with(|| RefOr::T(response.build()));
    }
    for (code, response) in responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description = meaning(code).to_owned();
        }
    }
}

fn meaning(code: &str) -> &'static str {
    match code {
        "200" => "Done.",
        "201" => "Made.",
        "204" => "Done; there is nothing to say.",
        "400" => "The request does not read.",
        "401" => "A key is wanted.",
        "404" => "It is not there.",
        "408" => "The body did not arrive in time.",
        "409" => "It cannot be done as things are.",
        "410" => "It is no longer there.",
        "413" => "The request is too large.",
        "422" => "It is not to be.",
        "429" => "There are too many.",
        "500" => "The server failed; its log says why.",
        "501" => "The server does not do that.",
        "503" => "The server cannot do it now; ask again.",
        _ => "See the body.",
    }
}

#[cfg(test)]
mod tests;
