use super::*;
use crate::testing::TestApp;
use crate::{App, Client, Context, Function};
use serde_json::json;

fn encryption() -> Encryption {
    Encryption::new("the key").unwrap()
}

fn event(name: &str, data: Value) -> SharedJson {
    stepwell_protocol::shared_json(json!({"name": name, "data": data}).to_string()).unwrap()
}

fn run_info() -> RunInfo {
    RunInfo {
        run_id: "01KDW000000000000000000002".parse().unwrap(),
        function_id: "app-f".into(),
        event_name: "app/f".into(),
        attempt: 0,
        max_attempts: 1,
        request_id: "".into(),
        trace: crate::middleware::TraceContext::default(),
    }
}

/// What a function gets of an event.
fn received(encryption: &Encryption, event: SharedJson) -> Result<Value, Error> {
    let mut input = FunctionInput::new(vec![event]);
    encryption.transform_function_input(&run_info(), &mut input)?;
    Ok(input.events()?.remove(0))
}

/// What a server gets of an event's data.
fn sent(encryption: &Encryption, data: Value) -> Value {
    let mut events = vec![OutgoingEvent::untyped("app/f", data)];
    encryption.transform_send_event(&mut events).unwrap();
    events.remove(0).data().clone()
}

#[test]
fn one_field_of_an_event_is_encrypted_and_read_again() {
    let data = json!({"order": "o-1", "encrypted": {"card": "4242"}});
    let on_the_way = sent(&encryption(), data.clone());
    assert_eq!(on_the_way["order"], "o-1");
    assert!(secretbox::is_encrypted(&on_the_way["encrypted"]));
    assert!(!on_the_way.to_string().contains("4242"));
    let got = received(&encryption(), event("app/f", on_the_way.clone())).unwrap();
    assert_eq!(got["data"], data);

    // A failure's event holds the event of the run.
    let failed = json!({"event": {"name": "app/f", "data": on_the_way}});
    let got = received(&encryption(), event("inngest/function.failed", failed)).unwrap();
    assert_eq!(got["data"]["event"]["data"], data);

    let other_field = encryption().event_field("order");
    let on_the_way = sent(&other_field, data.clone());
    assert_eq!(on_the_way["encrypted"], data["encrypted"]);
    assert!(secretbox::is_encrypted(&on_the_way["order"]));
    assert_eq!(sent(&encryption().decrypt_only(), data.clone()), data);
}

#[test]
fn an_older_key_still_decrypts_and_the_first_one_encrypts() {
    let data = json!({"encrypted": "secret"});
    let old = encryption();
    let new = Encryption::new("a newer key").unwrap();
    let both = new.clone().decrypt_with("the key").unwrap();
    let by_old = event("app/f", sent(&old, data.clone()));
    let by_both = event("app/f", sent(&both, data.clone()));
    assert_eq!(
        received(&both, SharedJson::clone(&by_old)).unwrap()["data"],
        data
    );
    assert_eq!(
        received(&new, SharedJson::clone(&by_both)).unwrap()["data"],
        data
    );
    let refused = received(&old, by_both).unwrap_err();
    assert_eq!(refused.name(), "DecryptionError");
    assert!(!format!("{refused:?}").contains("secret"));
    assert!(!format!("{both:?}").contains("key\""), "{both:?}");
}

#[tokio::test]
async fn a_server_never_sees_what_steps_and_functions_give() {
    async fn parent(ctx: Context) -> Result<String, Error> {
        let step = ctx.step();
        let secret: String = step
            .run("make", || async { Ok("s3cret".to_owned()) })
            .await?;
        let data = json!({"encrypted": secret});
        let told: String = step.invoke_named("ask", "app-child", data).await?;
        Ok(format!("{secret} {told}"))
    }
    async fn child(ctx: Context) -> Result<String, Error> {
        Ok(format!(
            "knows {}",
            ctx.data()["encrypted"].as_str().unwrap_or("nothing")
        ))
    }
    let app = App::new(Client::dev("app"))
        .middleware(encryption())
        .function(
            Function::new("parent")
                .on_event("app/parent")
                .handler(parent),
        )
        .function(Function::new("child").on_event("app/child").handler(child));
    let app = TestApp::start(app).await.unwrap();
    let run = app
        .run(OutgoingEvent::untyped("app/parent", json!({})))
        .await
        .unwrap();
    run.assert_completed();
    let output: Value = run.output();
    assert_eq!(
        encryption().keys.decrypt(&output),
        Ok(json!("s3cret knows s3cret"))
    );
    let child = &app.runs_of("child").unwrap()[0];
    for run in [&run, child] {
        let recorded = format!("{run:?} {:?} {:?}", run.events(), run.steps());
        assert!(recorded.contains("libsodium"), "{recorded}");
        assert!(!recorded.contains("s3cret"), "{recorded}");
    }
}
