//! Mounts a handler on an actix-web app.

use super::{Body, Handler};
use actix_web::http::StatusCode;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, Route, web};
use http::{Request, Response};

/// A handler as an actix-web route, for all methods.
///
/// ```no_run
/// # use stepwell::{App, Client, serve};
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let handler = serve::Handler::new(App::new(Client::from_env("shop")?))?;
/// let server = actix_web::HttpServer::new(move || {
///     actix_web::App::new().route("/api/inngest", serve::actix(handler.clone()))
/// });
/// server.bind("127.0.0.1:3000")?.run().await?;
/// # Ok(())
/// # }
/// ```
pub fn actix(handler: Handler) -> Route {
    let handler = handler.framework("actix-web");
    web::route().to(move |request: HttpRequest, body: Payload| {
        let handler = handler.clone();
        async move { answer(&handler, &request, body).await }
    })
}

async fn answer(handler: &Handler, request: &HttpRequest, body: Payload) -> HttpResponse {
    // Either the body is too large or the connection broke; then nobody reads the answer.
    let Ok(Ok(body)) = body.to_bytes_limited(handler.body_bytes_max).await else {
        return converted(handler.too_large().map(Body::whole));
    };
    // actix-web has `http` of another version.
    let mut own = Request::builder()
        .method(request.method().as_str())
        .uri(request.uri().to_string());
    for (name, value) in request.headers() {
        own = own.header(name.as_str(), value.as_bytes());
    }
    match own.body(body) {
        Ok(own) => converted(handler.respond(own).await),
        Err(_) => HttpResponse::BadRequest().finish(),
    }
}

fn converted(response: Response<Body>) -> HttpResponse {
    let (parts, body) = response.into_parts();
    let status = StatusCode::from_u16(parts.status.as_u16()).expect("a status stays one");
    let mut converted = HttpResponse::build(status);
    for (name, value) in &parts.headers {
        converted.insert_header((name.as_str(), value.as_bytes()));
    }
    converted.body(body)
}
