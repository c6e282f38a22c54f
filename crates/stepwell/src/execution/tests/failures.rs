//! What failures are answered with.

use super::*;

/// A step that fails with what `error` makes, and is not caught.
fn failing<F: Fn() -> Error + Clone + Send + Sync + 'static>(error: F) -> Function {
    function(move |ctx: Context| {
        let error = error.clone();
        async move {
            ctx.step()
                .run("flaky", || async { Err::<(), _>(error()) })
                .await?;
            Ok::<_, Error>(())
        }
    })
}

#[tokio::test]
async fn a_failing_step_reports_whether_and_when_to_try_again() {
    let plain = || failing(|| "boom".into());
    let later = || failing(|| RetryAfter::new("busy", Duration::from_millis(29_500)).into());
    let dated =
        || failing(|| RetryAfter::at("busy", Moment::from_unix_ms(1_893_553_445_000)).into());
    let never = || {
        failing(|| {
            anyhow::Error::new(NonRetriable::new("gone"))
                .context("reading")
                .into()
        })
    };
    let panics = || failing(|| panic!("ouch"));
    type Case = (
        Function,
        u32,
        &'static str,
        Option<bool>,
        Option<&'static str>,
    );
    let cases: [Case; 8] = [
        (plain(), 0, "206 StepError flaky#0 boom", Some(false), None),
        (plain(), 1, "206 StepError flaky#0 boom", Some(false), None),
        (plain(), 2, "206 StepFailed flaky#0 boom", Some(true), None),
        (
            later(),
            0,
            "206 StepError flaky#0 busy",
            Some(false),
            Some("30"),
        ),
        (later(), 2, "206 StepFailed flaky#0 busy", Some(true), None),
        (
            dated(),
            0,
            "206 StepError flaky#0 busy",
            Some(false),
            Some("2030-01-02T03:04:05.000Z"),
        ),
        (
            never(),
            0,
            "206 StepFailed flaky#0 reading",
            Some(true),
            None,
        ),
        (panics(), 0, "206 StepError flaky#0 ouch", Some(false), None),
    ];
    for (function, attempt, line, no_retry, retry_after) in cases {
        let answer = run(function).attempt(attempt).discover().await;
        assert_eq!(
            (
                answer.line().as_str(),
                answer.no_retry,
                answer.retry_after.as_deref()
            ),
            (line, no_retry, retry_after)
        );
    }
    let answer = run(plain()).attempt(2).discover().await;
    assert_eq!(
        answer.body[0]["data"],
        json!({"name": "Error", "message": "boom", "__serialized": true})
    );
}

#[tokio::test]
async fn a_step_error_that_escapes_fails_the_function_for_good() {
    let error = json!({"error": {"name": "TypeError", "message": "always", "stack": "TypeError: always\n  at x"}});
    let answer = run(failing(|| "unused".into()))
        .recorded("flaky", error.clone())
        .discover()
        .await;
    assert_eq!((answer.status, answer.no_retry), (400, Some(true)));
    assert_eq!(
        answer.body,
        json!({"name": "TypeError", "message": "always", "stack": "TypeError: always\n  at x", "__serialized": true})
    );
}

#[tokio::test]
async fn a_step_error_may_be_handled() {
    async fn handler(ctx: Context) -> Result<String, Error> {
        match ctx
            .step()
            .run("flaky", || async { Err::<u32, _>("boom".into()) })
            .await
        {
            Ok(number) => Ok(number.to_string()),
            Err(error) => {
                let because = format!("{} of {}: {error}", error.name(), error.step_id());
                let text = ctx
                    .step()
                    .run("recover", || async { Ok(because.clone()) })
                    .await?;
                Ok(text)
            }
        }
    }
    let (output, answers) = run(function(handler)).finish().await;
    assert_eq!(output, json!("Error of flaky: boom"));
    assert_eq!(
        answers[..3]
            .iter()
            .filter(|line| line.contains("boom"))
            .count(),
        3
    );
}

#[tokio::test]
async fn a_failing_function_reports_whether_and_when_to_try_again() {
    fn fails<F: Fn() -> Error + Clone + Send + Sync + 'static>(error: F) -> Function {
        function(move |_: Context| std::future::ready(Err::<(), _>(error())))
    }
    type Case = (Function, u32, u16, Option<&'static str>, &'static str);
    let cases: [Case; 6] = [
        (fails(|| "boom".into()), 0, 500, None, "boom"),
        (fails(|| "boom".into()), 2, 400, None, "boom"),
        (
            fails(|| RetryAfter::new("busy", Duration::from_secs(5)).into()),
            0,
            500,
            Some("5"),
            "busy",
        ),
        (
            fails(|| NonRetriable::new("gone").into()),
            0,
            400,
            None,
            "gone",
        ),
        (
            fails(|| "x".parse::<u8>().non_retriable().unwrap_err()),
            0,
            400,
            None,
            "invalid digit found in string",
        ),
        (
            function(|_: Context| async { panic!("{}", "ouch") as Result<(), Error> }),
            0,
            500,
            None,
            "ouch",
        ),
    ];
    for (function, attempt, status, retry_after, message) in cases {
        let answer = run(function).attempt(attempt).discover().await;
        assert_eq!(
            (
                answer.status,
                answer.no_retry,
                answer.retry_after.as_deref()
            ),
            (status, Some(status == 400), retry_after)
        );
        assert_eq!(
            (&answer.body["message"], &answer.body["__serialized"]),
            (&json!(message), &json!(true))
        );
    }
}
