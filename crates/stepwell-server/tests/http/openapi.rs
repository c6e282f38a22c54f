//! The description of the API: every route is in it, with its methods.

use crate::server::Server;
use reqwest::Method;
use std::collections::BTreeSet;
use stepwell_server::{ServerOptions, router};

/// The paths that the router knows, as its debugging output lists them: nothing else tells them.
fn paths(server: &Server) -> Vec<String> {
    let router = router(server.handle.clone(), ServerOptions::dev());
    let text = format!("{router:?}");
    let quoted = text.split('"').skip(1).step_by(2);
    let paths = quoted.filter(|path| path.starts_with('/') && !path.contains("__private"));
    let paths: Vec<String> = paths.map(str::to_owned).collect();
    assert!(paths.contains(&"/v1/runs/{run}".to_owned()), "{paths:?}");
    paths
}

/// The name under which a path is described that leads to the same as another.
fn described_as(path: &str) -> String {
    match path {
        "/e" | "/e/" => return "/e/{key}".to_owned(),
        _ => {}
    }
    let path = path
        .strip_prefix("/api")
        .filter(|rest| rest.starts_with("/v2/"))
        .unwrap_or(path);
    path.replace("/v1/http/runs", "/v1/checkpoint")
}

/// The methods that a path takes, as the refusal of one that it does not take says; nothing when it takes any.
async fn methods(server: &Server, path: &str) -> BTreeSet<String> {
    let path: String = path
        .split('/')
        .map(|part| if part.starts_with('{') { "x" } else { part })
        .collect::<Vec<_>>()
        .join("/");
    let unknown = Method::from_bytes(b"PURGE").expect("it is a method");
    let refused = server.request(unknown, &path, &[], "").await;
    let allowed = refused
        .header("allow")
        .split(',')
        .map(str::to_ascii_lowercase);
    allowed
        .filter(|method| !method.is_empty() && method != "head")
        .collect()
}

#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let server = Server::start().await;
    let document = server.get("/openapi.json").await.expect(200);
    let described = document["paths"].as_object().expect("it has paths");
    let mut routes = BTreeSet::new();
    for path in paths(&server) {
        let name = described_as(&path);
        let Some(item) = described.get(&name) else {
            panic!("{path} is not described");
        };
        let item = item.as_object().expect("it has methods");
        let known: BTreeSet<String> = item.keys().cloned().collect();
        let methods = methods(&server, &path).await;
        assert!(
            methods.is_empty() || methods == known,
            "{path} takes {methods:?}, described are {known:?}"
        );
        routes.insert(name);
    }
    let names: BTreeSet<String> = described.keys().cloned().collect();
    assert_eq!(routes, names, "what is described is there");
}
