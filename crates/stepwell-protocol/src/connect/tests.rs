//! The bytes were written by the official TypeScript SDK, and are ours to the last one.

use super::*;
use std::fmt::Debug;

/// `hex` reads as `message`, and `message` is written as `hex`.
#[track_caller]
fn check<T: Message + Default + PartialEq + Debug>(hex: &str, message: &T) {
    let bytes = hex::decode(hex).unwrap();
    assert_eq!(T::decode(&*bytes).as_ref(), Ok(message));
    assert_eq!(hex::encode(message.encode_to_vec()), hex);
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn a_worker_introduces_itself() {
    let message = WorkerConnect {
        connection_id: text("01C"),
        instance_id: text("host"),
        auth_data: Some(AuthData {
            session_token: text("s"),
            sync_token: text("y"),
        }),
        capabilities: b"{}".to_vec(),
        apps: vec![
            AppConfiguration {
                app_name: text("app"),
                app_version: Some(text("v1")),
                functions: b"[]".to_vec(),
            },
            AppConfiguration {
                app_name: text("b"),
                app_version: None,
                functions: b"[]".to_vec(),
            },
        ],
        worker_manual_readiness_ack: true,
        system_attributes: Some(SystemAttributes {
            cpu_cores: 2,
            mem_bytes: 1_024,
            os: text("linux"),
        }),
        environment: Some(text("dev")),
        framework: text("connect"),
        platform: Some(text("x")),
        sdk_version: text("v4.24.0"),
        sdk_language: text("typescript"),
        started_at: Some(Timestamp {
            seconds: 1_700_000_000,
            nanos: 500_000_000,
        }),
        max_worker_concurrency: Some(3),
    };
    check(
        "0a033031431204686f73741a060a017312017922027b7d2a0d0a0361707012027631\
         22025b5d2a070a016222025b5d30013a0c08021080081a056c696e757842036465764a\
         07636f6e6e6563745201785a0776342e32342e30620a747970657363726970746a0c08\
         80e2cfaa061080cab5ee017003",
        &message,
    );
    // What else the SDK says of an app (`featureObservations`) is skipped.
    let app = hex::decode("0a036170701202763122025b5d2a041a020801").unwrap();
    assert_eq!(AppConfiguration::decode(&*app).unwrap(), message.apps[0]);
}

#[test]
fn a_call_goes_there_and_back() {
    check(
        "0a0272311201611a01652201702a036170703201663a056170702d664204737465704a077b\
         2261223a317d52027b7d5a025b5d620372756e6a026c3172016a",
        &ExecutorRequest {
            request_id: text("r1"),
            account_id: text("a"),
            env_id: text("e"),
            app_id: text("p"),
            app_name: text("app"),
            function_id: text("f"),
            function_slug: text("app-f"),
            step_id: Some(text("step")),
            request_payload: br#"{"a":1}"#.to_vec(),
            system_trace_ctx: b"{}".to_vec(),
            user_trace_ctx: b"[]".to_vec(),
            run_id: text("run"),
            lease_id: text("l1"),
            job_id: text("j"),
        },
    );
    check(
        "0a0272311201611a01652201702a056170702d663204737465703a027b7d42025b5d4a0372756e",
        &RequestAck {
            request_id: text("r1"),
            account_id: text("a"),
            env_id: text("e"),
            app_id: text("p"),
            function_slug: text("app-f"),
            step_id: Some(text("step")),
            system_trace_ctx: b"{}".to_vec(),
            user_trace_ctx: b"[]".to_vec(),
            run_id: text("run"),
        },
    );
    check(
        "0a0272311201611a0165220170280132046e756c6c38014201334a0d696e6e676573742d6a\
         733a763450025a027b7d62025b5d6a0372756e",
        &SdkResponse {
            request_id: text("r1"),
            account_id: text("a"),
            env_id: text("e"),
            app_id: text("p"),
            status: ResponseStatus::Done.into(),
            body: b"null".to_vec(),
            no_retry: true,
            retry_after: Some(text("3")),
            sdk_version: text("inngest-js:v4"),
            request_version: 2,
            system_trace_ctx: b"{}".to_vec(),
            user_trace_ctx: b"[]".to_vec(),
            run_id: text("run"),
        },
    );
    let request_id = text("r1");
    check("0a027231", &ReplyAck { request_id });
}

#[test]
fn a_lease_is_extended_or_lost() {
    check(
        "0a0272311201611a01652201702a056170702d663204737465703a027b7d42025b5d4a0372\
         756e52026c31",
        &ExtendLease {
            request_id: text("r1"),
            account_id: text("a"),
            env_id: text("e"),
            app_id: text("p"),
            function_slug: text("app-f"),
            step_id: Some(text("step")),
            system_trace_ctx: b"{}".to_vec(),
            user_trace_ctx: b"[]".to_vec(),
            run_id: text("run"),
            lease_id: text("l1"),
        },
    );
    let lost = ExtendLeaseAck {
        request_id: text("r1"),
        account_id: text("a"),
        env_id: text("e"),
        app_id: text("p"),
        function_slug: text("app-f"),
        new_lease_id: None,
    };
    check("0a0272311201611a01652201702a056170702d66", &lost);
    check(
        "0a0272311201611a01652201702a056170702d6632026c32",
        &ExtendLeaseAck {
            new_lease_id: Some(text("l2")),
            ..lost
        },
    );
}

#[test]
fn a_connection_starts() {
    check(
        "0a0467772d610a0467772d62",
        &StartRequest {
            exclude_gateways: vec![text("gw-a"), text("gw-b")],
        },
    );
    check(
        "0a03303143121377733a2f2f683a312f76302f636f6e6e6563741a0267772201732a0179",
        &StartResponse {
            connection_id: text("01C"),
            gateway_endpoint: text("ws://h:1/v0/connect"),
            gateway_group: text("gw"),
            session_token: text("s"),
            sync_token: text("y"),
        },
    );
    check(
        "0a0331307312033230731a023073",
        &ReadyData {
            heartbeat_interval: text("10s"),
            extend_lease_interval: text("20s"),
            status_interval: text("0s"),
        },
    );
    let request_id = text("r1");
    check("0a027231", &FlushResponse { request_id });
}

#[test]
fn kinds_have_the_protocols_numbers() {
    for (kind, number) in [
        (FrameKind::GatewayHello, 0),
        (FrameKind::GatewayExecutorRequest, 3),
        (FrameKind::WorkerReply, 6),
        (FrameKind::WorkerPause, 8),
        (FrameKind::GatewayClosing, 11),
        (FrameKind::WorkerRequestExtendLeaseAck, 13),
        (FrameKind::WorkerStatus, 15),
    ] {
        assert_eq!(kind as i32, number);
    }
    // A bare hello is an empty frame.
    assert_eq!(
        Frame::bare(FrameKind::GatewayHello).encode_to_vec(),
        [0u8; 0]
    );
    check(
        "08 06 12 04 0a 02 72 31".replace(' ', "").as_str(),
        &Frame::of(
            FrameKind::WorkerReply,
            &ReplyAck {
                request_id: text("r1"),
            },
        ),
    );
}

#[test]
fn an_answer_reads_as_over_http() {
    let response = |status: ResponseStatus, no_retry| SdkResponse {
        status: status.into(),
        no_retry,
        retry_after: Some(text("3")),
        request_version: 2,
        sdk_version: text("inngest-js:v4"),
        ..SdkResponse::default()
    };
    for (status, no_retry, expected) in [
        (ResponseStatus::NotCompleted, false, 206),
        (ResponseStatus::Done, false, 200),
        (ResponseStatus::Done, true, 400),
        (ResponseStatus::Error, false, 500),
        (ResponseStatus::Error, true, 500),
    ] {
        let raw = response(status, no_retry).into_raw_reply();
        assert_eq!(raw.status, expected);
        assert_eq!(raw.headers.no_retry, Some(no_retry));
        assert_eq!(raw.headers.retry_after.as_deref(), Some("3"));
        assert_eq!(raw.headers.request_version, Some(2));
        assert_eq!(raw.headers.sdk.as_deref(), Some("inngest-js:v4"));
    }
    let bare = SdkResponse::default().into_raw_reply();
    assert!(bare.headers.sdk.is_some(), "what comes here is an SDK's");
    assert_eq!(bare.headers.request_version, None);
    assert_eq!(bare.headers.retry_after, None);
}

#[test]
fn debug_output_keeps_tokens_secret() {
    let auth = AuthData {
        session_token: text("secret"),
        sync_token: text("secret"),
    };
    let started = StartResponse {
        session_token: text("secret"),
        sync_token: text("secret"),
        ..StartResponse::default()
    };
    assert!(!format!("{auth:?} {started:?}").contains("secret"));
}
