use super::*;

#[derive(Debug, thiserror::Error)]
enum Wrapper {
    #[error("while reading the page")]
    Source(#[source] NonRetriable),
    #[error(transparent)]
    Transparent(#[from] RetryAfter),
    #[error("while calling a step")]
    Step(#[from] StepError),
}

fn non_retriable() -> NonRetriable {
    NonRetriable::new("gone")
}

#[test]
fn the_meaning_survives_every_wrapper() {
    let later = Retry::After(RetryTime::In(Duration::from_secs(30)));
    let step_error = || StepError::new("s", UserError::new("TypeError", "no"));
    let cases: [(Error, Retry); 11] = [
        ("x".parse::<u32>().unwrap_err().into(), Retry::Default),
        ("text".into(), Retry::Default),
        (non_retriable().into(), Retry::Never),
        (Wrapper::Source(non_retriable()).into(), Retry::Never),
        (anyhow::Error::new(non_retriable()).into(), Retry::Never),
        (
            anyhow::Error::new(non_retriable())
                .context("outer")
                .context("more")
                .into(),
            Retry::Never,
        ),
        (
            Wrapper::from(RetryAfter::new("busy", Duration::from_secs(30))).into(),
            later,
        ),
        (step_error().into(), Retry::StepFailed),
        (Wrapper::from(step_error()).into(), Retry::StepFailed),
        (anyhow::Error::new(step_error()).into(), Retry::StepFailed),
        (
            RetryAfter::wrap(non_retriable(), Duration::from_secs(30)).into(),
            later,
        ),
    ];
    for (error, retry) in cases {
        assert_eq!(error.retry(), retry, "{error:?}");
    }
}

#[test]
fn names_are_those_of_the_types() {
    let cases: [(Error, &str); 7] = [
        ("x".parse::<u32>().unwrap_err().into(), "ParseIntError"),
        ("text".into(), "Error"),
        (String::from("text").into(), "Error"),
        (anyhow::anyhow!("any").into(), "Error"),
        (non_retriable().into(), "NonRetriableError"),
        (
            StepError::new("s", UserError::new("TypeError", "no")).into(),
            "TypeError",
        ),
        (Error::new("QuotaExceeded", "no more"), "QuotaExceeded"),
    ];
    for (error, name) in cases {
        assert_eq!(error.to_wire().name, name);
    }
}

#[test]
fn causes_travel_without_the_markers() {
    let io = std::io::Error::other("disk full");
    let error = Error::from(
        anyhow::Error::new(io)
            .context("saving")
            .context("archiving"),
    );
    let wrapped = Error::from(NonRetriable::wrap(error));
    insta::assert_json_snapshot!(wrapped.to_wire(), @r#"
    {
      "name": "NonRetriableError",
      "message": "archiving",
      "stack": "NonRetriableError: archiving\n    caused by: saving\n    caused by: disk full",
      "cause": {
        "name": "Error",
        "message": "saving",
        "__serialized": true,
        "cause": {
          "name": "Error",
          "message": "disk full",
          "__serialized": true
        }
      }
    }
    "#);
}

#[test]
fn a_wrapped_error_is_found_as_is_what_caused_it() {
    #[derive(Debug, thiserror::Error)]
    #[error("quota {0}")]
    struct Quota(u32, #[source] Option<Box<Quota>>);

    let quota = || Quota(1, Some(Box::new(Quota(2, None))));
    let cases: [Error; 5] = [
        NonRetriable::wrap(quota()).into(),
        RetryAfter::wrap(quota(), Duration::from_secs(1)).into(),
        Error::from(quota()).non_retriable(),
        RetryAfter::wrap(NonRetriable::wrap(quota()), Duration::from_secs(1)).into(),
        anyhow::Error::new(NonRetriable::wrap(quota()))
            .context("outer")
            .into(),
    ];
    for error in cases {
        let found = error.find::<Quota>();
        assert_eq!(found.map(|quota| quota.0), Some(1), "{error:?}");
    }
    let twice = RetryAfter::wrap(NonRetriable::new("gone"), Duration::from_secs(1));
    let twice = Error::from(twice);
    assert!(twice.find::<NonRetriable>().is_some());
    assert!(twice.find::<Quota>().is_none());
}

#[test]
fn an_escaping_step_error_keeps_its_own_name_message_and_stack() {
    let inner = UserError {
        stack: Some("TypeError: no\n    at a.js".to_owned()),
        ..UserError::new("TypeError", "no")
    };
    let step_error = StepError::new("fetch", inner.clone());
    assert_eq!(Error::from(step_error.clone()).to_wire(), inner);
    assert_eq!(
        Error::from(anyhow::Error::new(step_error.clone())).to_wire(),
        inner
    );
    assert_eq!(
        Error::from(Wrapper::from(step_error)).to_wire().message,
        "while calling a step"
    );
}

#[test]
fn the_retry_header_rounds_up() {
    for (duration, header) in [
        (0, "0"),
        (1, "1"),
        (1_000, "1"),
        (1_001, "2"),
        (30_000, "30"),
    ] {
        let time = RetryTime::In(Duration::from_millis(duration));
        assert_eq!(time.header(), header);
    }
    let moment: jiff::Timestamp = "2030-01-02T03:04:05Z".parse().unwrap();
    assert_eq!(
        RetryTime::At(moment.into()).header(),
        "2030-01-02T03:04:05.000Z"
    );
}
