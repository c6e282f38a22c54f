//! What steps say of themselves besides their results.

use super::*;
use crate::experiment::Choice;
use crate::{FunctionRef, Score};

#[tokio::test]
async fn a_variant_is_noted_and_its_steps_are_tagged() {
    let run = run(function(async |ctx: Context| {
        let choice = Choice::weighted([("a", 0.0), ("b", 1.0)]);
        let variant = ctx.step().experiment("style", choice).await?;
        let step = variant.step().run("write", || async { Ok(1) });
        Ok::<u32, Error>(step.await?)
    }));
    let picked = run.discover().await;
    let op = &picked.body[0];
    assert_eq!((&op["op"], &op["data"]), (&json!("StepRun"), &json!("b")));
    assert_eq!(op["opts"], json!({"type": "group.experiment"}));
    assert_eq!(
        op["metadata"],
        json!([{"kind": "inngest.experiment", "op": "set", "scope": "step", "values": {
            "name": "style", "variant": "b", "selection_strategy": "weighted",
            "available_variants": ["a", "b"], "variant_weights": {"a": 0.0, "b": 1.0},
        }}])
    );
    let run = run.recorded("style", json!({"data": "b"}));
    let written = run.discover().await;
    assert_eq!(
        written.body[0]["opts"],
        json!({
            "experimentName": "style", "experimentStepID": hash("style"),
            "selectionStrategy": "weighted", "variant": "b",
        })
    );
    assert_eq!(written.body[0].get("metadata"), None);
}

#[tokio::test]
async fn notes_and_scores_go_along_with_their_step() {
    let run = run(function(async |ctx: Context| {
        let step = ctx.step();
        // Nothing to note it about.
        step.note("lost", &json!({"a": 1}));
        step.run("work", || async {
            step.note("seen", &json!({"a": 1}));
            step.note("lost", &"no object");
            Ok(())
        })
        .await?;
        step.score("judge", Score::new("good", true)).await?;
        Ok::<_, Error>(())
    }));
    let worked = run.discover().await;
    assert_eq!(
        worked.body[0]["metadata"],
        json!([{"kind": "userland.seen", "op": "merge", "scope": "step", "values": {"a": 1}}])
    );
    let scored = run.recorded("work", Value::Null).discover().await;
    assert_eq!(
        scored.body[0]["metadata"],
        json!([{"kind": "inngest.score", "op": "merge", "scope": "run", "values": {"good": {"value": true}}}])
    );
}

#[tokio::test]
async fn a_score_that_no_server_would_take_fails_its_step() {
    let judged = async |ctx: Context| {
        let name = ctx.data()["name"].as_str().unwrap_or_default().to_owned();
        ctx.step().score("judge", Score::new(name, 1.0)).await?;
        Ok::<_, Error>(())
    };
    for name in ["", "it's", &"x".repeat(129), "a\nb"] {
        let run = run(function(judged)).data(json!({"name": name}));
        let answer = run.discover().await;
        assert_eq!(answer.body[0]["op"], "StepFailed", "{name}");
        assert_eq!(answer.no_retry, Some(true));
    }
}

#[tokio::test]
async fn a_step_runs_with_the_input_that_it_is_given_instead() {
    let greet = async |ctx: Context| {
        let greeting = ctx
            .step()
            .run_with("greet", "Ada".to_owned(), |name| async move {
                Ok(format!("hello {name}"))
            });
        Ok::<String, Error>(greeting.await?)
    };
    let own = run(function(greet)).discover().await;
    assert_eq!(own.body[0]["opts"], json!({"input": ["Ada"]}));
    assert_eq!(own.body[0]["data"], "hello Ada");

    let mut given = run(function(greet));
    given
        .steps
        .insert(hash("greet"), json!({"input": ["Grace"]}));
    assert_eq!(given.discover().await.body[0]["data"], "hello Grace");

    let mut wrong = run(function(greet));
    wrong.steps.insert(hash("greet"), json!({"input": [1]}));
    let answer = wrong.discover().await;
    assert_eq!(answer.body[0]["op"], "StepFailed");
    assert_eq!(answer.body[0]["error"]["name"], "InputMismatch");
}

#[tokio::test]
async fn what_cannot_be_asked_for_fails_the_function_and_names_the_step() {
    const OTHER: FunctionRef<u32, ()> = FunctionRef::new("other");
    let run = run(function(async |ctx: Context| {
        ctx.step().invoke("call", OTHER, 7).await?;
        Ok::<_, Error>(())
    }));
    let answer = run.discover().await;
    assert_eq!((answer.status, answer.no_retry), (400, Some(true)));
    assert_eq!(
        answer.body["message"],
        "step \"call\" cannot be asked for: the data for function 'app-other' is not a JSON object"
    );
}

#[tokio::test]
async fn what_is_recorded_counts_though_it_could_not_be_asked_for_today() {
    const OTHER: FunctionRef<u32, u32> = FunctionRef::new("other");
    let run = run(function(async |ctx: Context| {
        Ok::<_, Error>(ctx.step().invoke("call", OTHER, 7).await?)
    }));
    let answer = run.recorded("call", json!({"data": 8})).discover().await;
    assert_eq!((answer.status, answer.body), (200, json!(8)));
}

#[tokio::test]
async fn deferred_runs_ride_along_once() {
    const LATER: FunctionRef<Value, ()> = FunctionRef::new("later");
    let define = || {
        function(async |ctx: Context| {
            let step = ctx.step();
            let kept = step.defer("a", LATER, json!({"n": 1}));
            step.defer("a", LATER, json!({"n": 2}));
            step.defer("not an object", LATER, json!(3));
            if ctx.data()["abort"] == true {
                kept.abort();
                kept.abort();
            }
            Ok::<_, Error>("done")
        })
    };
    let answer = run(define()).discover().await;
    assert_eq!(answer.status, 206);
    let ops = answer.body.as_array().unwrap();
    assert_eq!(ops.len(), 2, "{ops:#?}");
    assert_eq!(ops[0]["op"], "DeferAdd");
    assert_eq!(ops[0]["id"], json!(hash("a")));
    assert_eq!(
        ops[0]["opts"],
        json!({"fn_slug": "app-later", "input": {"n": 1}})
    );
    assert_eq!(
        (&ops[1]["op"], &ops[1]["data"]),
        (&json!("RunComplete"), &json!("done"))
    );

    // A server may take what comes in one answer in any order: of what was taken back at once, it hears nothing.
    let aborted = run(define()).data(json!({"abort": true})).discover().await;
    assert_eq!((aborted.status, aborted.body), (200, json!("done")));
}

#[tokio::test]
async fn a_deferred_run_that_the_server_knows_of_is_taken_back() {
    const LATER: FunctionRef<Value, ()> = FunctionRef::new("later");
    let runner = run(function(async |ctx: Context| {
        let step = ctx.step();
        step.defer("a", LATER, json!({"n": 1})).abort();
        Ok::<_, Error>("done")
    }));
    let answer = runner.knowing_of("a").discover().await;
    let kinds: Vec<&str> = answer
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|op| op["op"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["DeferAbort", "RunComplete"]);
}

#[tokio::test]
async fn what_a_dropped_step_has_noted_is_of_no_other() {
    let run = run(function(async |ctx: Context| {
        let step = ctx.step();
        let (tell, told) = futures::channel::oneshot::channel();
        let dropped = step.run("dropped", || async move {
            step.note("mine", &json!({"of": "dropped"}));
            tell.send(()).expect("someone listens");
            std::future::pending::<Result<(), Error>>().await
        });
        drop(futures::future::select(Box::pin(dropped), told).await);
        let kept = step.run("kept", || async {
            step.note("mine", &json!({"of": "kept"}));
            Ok(())
        });
        Ok::<_, Error>(kept.await?)
    }));
    let answer = run.discover().await;
    assert_eq!(answer.body[0]["userland"]["id"], "kept");
    let notes = answer.body[0]["metadata"].as_array().unwrap();
    assert_eq!(notes.len(), 1, "{notes:#?}");
    assert_eq!(notes[0]["values"], json!({"of": "kept"}));
}
