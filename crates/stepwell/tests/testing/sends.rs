//! Which events runs have sent.

use super::*;
use futures::FutureExt;
use stepwell::middleware::Encryption;

fn encrypted() -> App {
    let key = Encryption::new("a key of at least thirty-two characters").unwrap();
    let client = Client::builder("shop", stepwell::Config::dev())
        .middleware(key)
        .build();
    let sends = async |ctx: Context| {
        let many = (0..3).map(|n| OutgoingEvent::untyped("app/many", json!({ "n": n })));
        ctx.step().send_event("tell", event("app/told")).await?;
        ctx.step().send_events("tell all", many).await?;
        Ok::<_, Error>(())
    };
    App::new(client).function(Function::new("f").on_event("app/go").handler(sends))
}

#[tokio::test]
async fn what_an_encrypting_app_has_sent_is_seen() {
    let app = TestApp::start(encrypted()).await.unwrap();
    let run = app.run(event("app/go")).await.unwrap();
    run.assert_sent_event("app/told");
    let numbers: Vec<u64> = run.sent_events()[1..]
        .iter()
        .map(|event| event.data["n"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [0, 1, 2]);
    let not_sent = async { run.assert_not_sent("app/told") };
    let refused = std::panic::AssertUnwindSafe(not_sent).catch_unwind().await;
    let refused = refused.map(drop).unwrap_err();
    let message = refused.downcast::<String>().unwrap();
    assert!(
        message.starts_with("event 'app/told' was sent"),
        "{message}"
    );
}

#[tokio::test]
async fn a_send_that_was_mocked_has_sent_nothing() {
    let app = TestApp::builder()
        .app(encrypted())
        .mock_step("tell", |_| {
            Ok(json!({"ids": ["01KDW000000000000000000001"]}))
        })
        .start()
        .await
        .unwrap();
    let run = app.run(event("app/go")).await.unwrap();
    run.assert_not_sent("app/told")
        .assert_sent_event("app/many");
}
