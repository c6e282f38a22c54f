//! The web API.

use crate::files::{self, PICTURE};
use crate::studio::TestStudio;
use axum::Router;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::get;
use serde_json::{Value, json};
use std::collections::HashSet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn asset(workspace: &str, url: &str) -> Value {
    json!({
        "name": "brand.pdf", "url": url, "size": 1, "mimeType": "application/pdf",
        "workspaceId": workspace, "isBrandAsset": true,
    })
}

#[tokio::test]
async fn a_brand_document_is_read_from_registering_to_searching() {
    read_a_brand_document(TestStudio::start().await).await;
}

#[tokio::test]
async fn a_brand_document_is_read_into_postgres() {
    read_a_brand_document(TestStudio::on_postgres().await).await;
}

async fn read_a_brand_document(studio: TestStudio) {
    for nothing in ["/api/workspaces/a%00b", "/api/assets/a%00b"] {
        assert_eq!(studio.get(nothing).await.status, 404, "{nothing}");
    }
    let workspace = studio.workspace("Solvane").await;
    let file = std::fs::read(files::sample()).unwrap();
    let uploaded = studio.upload("brand.pdf", file).await;
    assert_eq!(uploaded.status, 201);
    let url = uploaded.text("/url");

    let registered = studio.post("/api/assets", &asset(&workspace, &url)).await;
    assert_eq!(registered.status, 201);
    assert_eq!(registered.text("/event/name"), "brand.knowledge.ingested");
    assert_eq!(registered.body["event"]["resumed"], false);
    assert_eq!(registered.text("/asset/type"), "DOCUMENT");
    let run = studio.run_of(&registered.text("/event/id")).await;

    let (kinds, ended) = studio.watch(&run).await;
    assert_eq!(ended["status"], "Completed");
    let steps = ended["steps"].as_array().unwrap();
    let names: Vec<&str> = steps
        .iter()
        .map(|step| step["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "budget",
            "index-and-store",
            "extract-brand-dna",
            "trigger-synthesis"
        ]
    );
    assert_eq!(kinds.iter().filter(|kind| *kind == "step").count(), 4);
    assert_eq!(kinds.last().unwrap(), "ended");
    assert_eq!(studio.get(&format!("/api/runs/{run}")).await.body, ended);
    // Watching what has ended tells all of it, too.
    let (again, _) = studio.watch(&run).await;
    assert_eq!(again, ["step", "step", "step", "step", "ended"]);

    let shown = studio.get(&format!("/api/workspaces/{workspace}")).await;
    assert_eq!(shown.text("/brandProfile/coreIdentity/colors/0"), "#E4572E");
    assert_eq!(shown.text("/indexingStatus"), "IDLE");
    assert_eq!(
        shown.body["knowledgeCount"],
        steps[1]["result"]["data"]["chunkCount"]
    );
    let path = format!("/api/workspaces/{workspace}/search?q=primary%20colour&k=2");
    let found = studio.get(&path).await;
    assert_eq!(found.body["fragments"].as_array().unwrap().len(), 2);
    assert!(found.text("/fragments/0/text").contains("#E4572E"));
    assert_eq!(found.body["fragments"][0]["page"], 4);
    assert_eq!(found.text("/fragments/0/filename"), "brand.pdf");
    let path = format!("/api/workspaces/{workspace}/context?q=primary%20colour&k=2");
    let told = studio.get(&path).await;
    let context = told.text("/context");
    assert!(
        context.starts_with("<brand-context workspace=\"Solvane\">\n"),
        "{context}"
    );
    assert!(
        context.contains("Colours: #E4572E (Ember, primary); "),
        "{context}"
    );
    assert!(
        context.contains("<fragment number=\"1\" file=\"brand.pdf\" page=\"4\">\n"),
        "{context}"
    );
    assert_eq!(told.body["sources"].as_array().unwrap().len(), 2);
    assert_eq!(told.body["sources"][0]["page"], 4);
    let id = registered.text("/asset/id");
    let kept = studio.get(&format!("/api/assets/{id}")).await;
    assert_eq!(
        kept.body["event"]["receivedAs"],
        registered.body["event"]["id"]
    );
    studio.stop().await;
}

#[tokio::test]
async fn registering_again_goes_on_with_an_unfinished_run() {
    let studio = TestStudio::start().await;
    let workspace = studio.workspace("w").await;
    let file = std::fs::read(files::sample()).unwrap();
    let url = studio.upload("a.pdf", file).await.text("/url");
    let asset = asset(&workspace, &url);
    let first = studio.post("/api/assets", &asset).await;
    let run = studio.run_of(&first.text("/event/id")).await;
    studio.watch(&run).await;

    // It has ended, so this is a new event, which the throttle keeps waiting.
    let second = studio.post("/api/assets", &asset).await;
    assert_eq!(second.body["asset"]["id"], first.body["asset"]["id"]);
    assert_eq!(second.body["event"]["resumed"], false);
    assert_ne!(second.body["event"]["id"], first.body["event"]["id"]);
    let run = studio.run_of(&second.text("/event/id")).await;
    let waiting = studio.get(&format!("/api/runs/{run}")).await;
    assert_eq!(waiting.text("/status"), "Scheduled");
    assert_eq!(waiting.text("/waiting/reason"), "throttled");
    assert!(waiting.text("/waiting/until").ends_with('Z'));

    let third = studio.post("/api/assets", &asset).await;
    assert_eq!(third.body["event"]["resumed"], true);
    assert_eq!(third.body["event"]["id"], second.body["event"]["id"]);
    studio.stop().await;
}

#[tokio::test]
async fn a_result_that_nobody_was_shown_can_be_come_back_for() {
    let studio = TestStudio::start().await;
    let workspace = studio.workspace("w").await;
    let file = std::fs::read(files::sample()).unwrap();
    let url = studio.upload("a.pdf", file).await.text("/url");
    let mut asset = asset(&workspace, &url);
    asset["resume"] = json!("unseen");
    let first = studio.post("/api/assets", &asset).await;
    let event = first.text("/event/id");
    studio.watch(&studio.run_of(&event).await).await;

    let second = studio.post("/api/assets", &asset).await;
    assert_eq!(
        (second.text("/event/id"), &second.body["event"]["resumed"]),
        (event.clone(), &json!(true))
    );
    let seen = format!("/api/assets/{}/seen", first.text("/asset/id"));
    let seen = studio.post(&seen, &json!({"eventId": event})).await;
    assert_eq!(
        (seen.status, &seen.body["event"]["seen"]),
        (200, &json!(true))
    );
    let third = studio.post("/api/assets", &asset).await;
    assert_ne!(third.text("/event/id"), event);
    studio.stop().await;
}

/// Keys of uploads did not always say whose they are.
#[tokio::test]
async fn an_upload_without_an_owner_is_nobodys_until_it_is_uploaded_again() {
    let studio = TestStudio::start().await;
    let workspace = studio.workspace("w").await;
    let file = std::fs::read(files::sample()).unwrap();
    let uploaded = studio.upload("a.pdf", file.clone()).await;
    let url = uploaded.text("/url");
    let registered = studio.post("/api/assets", &asset(&workspace, &url)).await;
    let event = registered.text("/event/id");
    studio.watch(&studio.run_of(&event).await).await;

    let old = format!("uploads/{}/a.pdf", uploaded.text("/sha256"));
    studio.put(&old, &file);
    let old = asset(&workspace, &format!("blob:{old}"));
    let refused = studio.post("/api/assets", &old).await;
    assert_eq!(refused.code(), "bad_url");
    let message = refused.text("/error/message");
    assert!(message.ends_with("is not an upload of yours"), "{message}");
    let hint = refused.text("/error/hint");
    assert!(hint.starts_with("upload the file with PUT"), "{hint}");

    // It is the same asset then: its content says which it is.
    let url = studio.upload("again.pdf", file).await.text("/url");
    let again = studio.post("/api/assets", &asset(&workspace, &url)).await;
    assert_eq!(again.text("/asset/id"), registered.text("/asset/id"));
    assert_eq!(again.text("/asset/url"), url);
    studio.stop().await;
}

#[tokio::test]
async fn registering_from_many_sides_at_once_sends_one_event() {
    let studio = TestStudio::start().await;
    let workspace = studio.workspace("w").await;
    let file = std::fs::read(files::sample()).unwrap();
    let url = studio.upload("a.pdf", file).await.text("/url");
    let asset = asset(&workspace, &url);
    let posts = (0..6).map(|_| studio.post("/api/assets", &asset));
    let mut begun = HashSet::new();
    for registered in futures::future::join_all(posts).await {
        assert_eq!(registered.status, 201, "{}", registered.body);
        begun.insert(registered.text("/asset/event/id"));
    }
    assert_eq!(begun.len(), 1);
    studio.stop().await;
}

#[tokio::test]
async fn what_an_asset_is_decides_what_is_sent() {
    let studio = TestStudio::start().await;
    let workspace = studio.workspace("w").await;
    let mut image = asset(&workspace, "https://example.com/logo.png");
    image["mimeType"] = json!("image/png");
    image["classification"] = json!("INDEX_AS_INSPIRATION");
    let registered = studio.post("/api/assets", &image).await;
    assert_eq!(registered.text("/event/name"), "brand.asset.vision_sync");
    assert_eq!(registered.text("/asset/type"), "IMAGE");
    assert_eq!(
        registered.text("/asset/metadata/classification"),
        "INDEX_AS_INSPIRATION"
    );

    image["isBrandAsset"] = json!(false);
    let mut video = asset(&workspace, "https://example.com/a.mp4");
    video["mimeType"] = json!("video/mp4");
    for quiet in [image, video] {
        let registered = studio.post("/api/assets", &quiet).await;
        assert_eq!(registered.status, 201);
        assert_eq!(registered.body["event"], Value::Null);
    }
    studio.stop().await;
}

#[tokio::test]
async fn an_upload_is_of_use_to_its_owner_only() {
    let studio = TestStudio::start().await;
    let file = std::fs::read(files::sample()).unwrap();
    let url = studio.upload("brand.pdf", file.clone()).await.text("/url");
    let as_ada = |request: reqwest::RequestBuilder| studio.send(request.header("X-User-Id", "ada"));
    let workspace = studio.http.post(studio.url("/api/workspaces"));
    let workspace = as_ada(workspace.json(&json!({"name": "Ada's"}))).await;
    let register = |url: &str| {
        let request = studio.http.post(studio.url("/api/assets"));
        as_ada(request.json(&asset(&workspace.text("/id"), url)))
    };
    // Who knows the file's hash and name still does not get it.
    let refused = register(&url).await;
    assert_eq!((refused.status, refused.code()), (400, "bad_url"));

    let upload = studio.http.put(studio.url("/api/files/brand.pdf"));
    let own = as_ada(upload.body(file)).await.text("/url");
    assert_ne!(own, url);
    assert_eq!(register(&own).await.status, 201);
    studio.stop().await;
}

#[tokio::test]
async fn workspaces_are_their_owners() {
    let studio = TestStudio::start().await;
    let workspace = studio.workspace("My Brand").await;
    let again = studio
        .post("/api/workspaces", &json!({"name": "my brand!"}))
        .await;
    assert_eq!((again.status, again.text("/id")), (200, workspace.clone()));

    let as_ada = |request: reqwest::RequestBuilder| studio.send(request.header("X-User-Id", "ada"));
    let url = |path: &str| studio.url(path);
    let named = as_ada(
        studio
            .http
            .post(url("/api/workspaces"))
            .json(&json!({"name": "My Brand"})),
    );
    assert_eq!(named.await.code(), "name_taken");
    let found = as_ada(studio.http.get(url("/api/workspaces?name=My+Brand"))).await;
    assert_eq!(found.body["workspaces"], json!([]));
    let asset = asset(&workspace, "https://example.com/a.png");
    let registered = as_ada(studio.http.post(url("/api/assets")).json(&asset)).await;
    assert_eq!(
        (registered.status, registered.code()),
        (404, "no_such_workspace")
    );
    for path in ["", "/search?q=a", "/context?q=a"] {
        let path = format!("/api/workspaces/{workspace}{path}");
        let seen = as_ada(studio.http.get(url(&path))).await;
        assert_eq!(
            (seen.status, seen.code()),
            (404, "no_such_workspace"),
            "{path}"
        );
    }

    let mut image = asset.clone();
    image["mimeType"] = json!("image/png");
    let own = studio.post("/api/assets", &image).await;
    for (path, code) in [
        (
            format!("/api/assets/{}", own.text("/asset/id")),
            "no_such_asset",
        ),
        (
            format!("/api/events/{}/runs", own.text("/event/id")),
            "no_such_event",
        ),
    ] {
        assert_eq!(studio.get(&path).await.status, 200);
        let seen = as_ada(studio.http.get(url(&path))).await;
        assert_eq!((seen.status, seen.code()), (404, code));
    }
    studio.stop().await;
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let studio = TestStudio::start().await;
    let workspace = studio.workspace("w").await;
    let good = asset(&workspace, "https://example.com/a.pdf");
    let file = std::fs::read(files::sample()).unwrap();
    let gone = studio.upload("brand.pdf", file).await.text("/url");
    let gone = gone.replace("brand.pdf", "gone.pdf");
    let with = |key: &str, value: Value| {
        let mut body = good.clone();
        body[key] = value;
        body
    };
    for (body, code, told) in [
        (json!("x"), "bad_body", "invalid type"),
        (json!({}), "bad_body", "missing field `name`"),
        (with("size", json!(-1)), "bad_body", "size: invalid value"),
        (with("extra", json!(1)), "bad_body", "unknown field `extra`"),
        (
            with("classification", json!("X")),
            "bad_body",
            "classification: unknown variant",
        ),
        (with("name", json!(" ")), "bad_name", "1 to 255"),
        (
            with("mimeType", json!("pdf")),
            "bad_mime_type",
            "\"pdf\" is not a content type",
        ),
        (with("url", json!("a.pdf")), "bad_url", "relative URL"),
        (
            with("url", json!("file:///etc/passwd")),
            "bad_url",
            "file: URLs",
        ),
        (
            with("url", json!("https://ada:secret@example.com/a.pdf")),
            "bad_url",
            "carries a user name or password",
        ),
        (
            with("url", json!("blob:vision/a.pdf")),
            "bad_url",
            "is not an upload of yours",
        ),
        (
            with("url", json!("blob:uploads/a/../b")),
            "bad_url",
            "starts with a dot",
        ),
        (
            with("url", json!("blob:uploads/ab/cd/e.pdf")),
            "bad_url",
            "is not an upload of yours",
        ),
        (with("url", json!(gone)), "no_such_file", "uploads/"),
        (
            with("workspaceId", json!("x")),
            "no_such_workspace",
            "no workspace x",
        ),
    ] {
        let refused = studio.post("/api/assets", &body).await;
        assert_eq!(refused.code(), code, "{body}: {}", refused.body);
        let message = refused.text("/error/message");
        assert!(message.contains(told), "{message}");
    }
    let search = format!("/api/workspaces/{workspace}/search");
    for (path, code) in [
        ("/api/runs/x".to_owned(), "bad_run_id"),
        (
            "/api/runs/01M83KDK8Z5YYTZ4KCA9ETQ94D".to_owned(),
            "no_such_run",
        ),
        ("/api/events/x/runs".to_owned(), "bad_event_id"),
        ("/api/assets/x".to_owned(), "no_such_asset"),
        (search.clone(), "bad_query"),
        (format!("{search}?q=%20"), "bad_query"),
        (format!("{search}?q=a&k=0"), "bad_query"),
        (
            format!("/api/workspaces/{workspace}/context?q=a&k=101"),
            "bad_query",
        ),
        (
            format!("/api/workspaces/{workspace}/context?q=%20"),
            "bad_query",
        ),
        ("/nowhere".to_owned(), "no_such_route"),
    ] {
        let refused = studio.get(&path).await;
        assert_eq!(refused.code(), code, "{path}");
    }
    let url = studio.url("/api/workspaces");
    let form = studio.http.post(&url).body(r#"{"name": "w"}"#);
    assert_eq!(studio.send(form).await.code(), "not_json");
    let long = studio
        .http
        .post(&url)
        .json(&json!({"name": "x".repeat(300_000)}));
    assert_eq!(studio.send(long).await.status, 413);
    let foreign = studio
        .http
        .get(studio.url("/health"))
        .header("Host", "evil.example");
    assert_eq!(studio.send(foreign).await.code(), "foreign_host");
    studio.stop().await;
}

#[tokio::test]
async fn uploads_that_are_no_pdfs_are_refused() {
    let studio = TestStudio::start().await;
    for (file, code) in [
        (Vec::new(), "empty_file"),
        (b"<html>".to_vec(), "not_a_pdf"),
        (vec![b' '; 4096], "not_a_pdf"),
    ] {
        assert_eq!(studio.upload("a.pdf", file).await.code(), code);
    }
    let image = studio.http.put(studio.url("/api/files/a.png"));
    let image = image.header("content-type", "image/png").body("x");
    assert_eq!(studio.send(image).await.code(), "not_a_pdf");

    // One of 200 MB is refused by what it declares, before it is sent.
    let address = studio.url("").replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "PUT /api/files/a.pdf HTTP/1.1\r\nHost: {address}\r\nContent-Length: 209715200\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("the file is larger than 64 MB"), "{answer}");

    // The same file under another name is the same asset.
    let workspace = studio.workspace("w").await;
    let mut ids = HashSet::new();
    for name in ["a.pdf", "b.pdf"] {
        let url = studio
            .upload(name, files::pdf(PICTURE, ""))
            .await
            .text("/url");
        let registered = studio.post("/api/assets", &asset(&workspace, &url)).await;
        ids.insert(registered.text("/asset/id"));
    }
    assert_eq!(ids.len(), 1);
    studio.stop().await;
}

#[tokio::test]
async fn a_url_that_leads_inside_fails_the_run() {
    let inside = "http://127.0.0.1:1/secret.pdf";
    let routes = Router::new()
        .route(
            "/away.pdf",
            get(move || async move { Redirect::temporary(inside) }),
        )
        .route("/gone.pdf", get(|| async { StatusCode::GONE }))
        .route("/page.pdf", get(|| async { axum::response::Html("<p>") }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });

    let studio = TestStudio::allowing(std::slice::from_ref(&origin)).await;
    for (path, told) in [
        ("away.pdf", "only public addresses are fetched"),
        ("gone.pdf", "answered 410"),
        ("page.pdf", "is text/html, not a document"),
    ] {
        let workspace = studio.workspace(path).await;
        let url = format!("{origin}/{path}");
        let registered = studio.post("/api/assets", &asset(&workspace, &url)).await;
        let run = studio.run_of(&registered.text("/event/id")).await;
        let (kinds, ended) = studio.watch(&run).await;
        assert_eq!(ended["status"], "Failed");
        let message = ended["error"]["message"].as_str().unwrap();
        assert!(message.contains(told), "{message}");
        assert!(kinds.contains(&"attempt-failed".to_owned()));
        assert_eq!(ended["failedAttempts"][0]["step"], "index-and-store");
        assert_eq!(ended["failedAttempts"][0]["retryAt"], Value::Null);
        let shown = studio.get(&format!("/api/workspaces/{workspace}")).await;
        assert_eq!(shown.text("/indexingStatus"), "FAILED");
    }
    studio.stop().await;
}

#[tokio::test]
async fn health_and_functions_are_served() {
    let studio = TestStudio::start().await;
    let health = studio.get("/health").await;
    assert_eq!(health.text("/service"), "studio233");
    let ready = studio.get("/ready").await;
    assert_eq!((ready.status, &ready.body["ready"]), (200, &json!(true)));
    let functions = studio.get("/api/inngest").await;
    assert_eq!(functions.body["function_count"], 12);
    studio.stop().await;
}

#[tokio::test]
async fn without_a_key_only_programs_of_this_machine_reach_the_functions() {
    let studio = TestStudio::start().await;
    let url = studio.url("/api/inngest?fnId=studio-233-gone&stepId=step");
    let call = || studio.http.post(&url).body("{}");
    for host in ["evil.example", "localhost.evil.example"] {
        let named = call()
            .header("Host", host)
            .header("content-type", "application/json");
        let refused = studio.send(named).await;
        assert_eq!((refused.status, refused.code()), (421, "foreign_host"));
        let looked = studio
            .http
            .get(studio.url("/api/inngest"))
            .header("Host", host);
        assert_eq!(studio.send(looked).await.code(), "foreign_host");
    }
    for kind in ["text/plain", "multipart/form-data; boundary=x"] {
        let refused = studio.send(call().header("content-type", kind)).await;
        assert_eq!((refused.status, refused.code()), (415, "not_json"));
    }
    let taken = call().header("content-type", "application/json; charset=utf-8");
    let taken = studio.send(taken).await;
    assert!(
        !["not_json", "foreign_host"].contains(&taken.code()),
        "{}",
        taken.body
    );
    studio.stop().await;
}

#[tokio::test]
async fn with_a_key_the_signature_decides_who_reaches_the_functions() {
    let key = "signkey-test-00112233445566778899aabbccddeeff";
    let studio = TestStudio::signed_with(key).await;
    let call = studio.http.post(studio.url("/api/inngest?fnId=a"));
    let call = call.header("Host", "studio.example").body("{}");
    assert_eq!(studio.send(call).await.status, 401);
    studio.stop().await;
}
