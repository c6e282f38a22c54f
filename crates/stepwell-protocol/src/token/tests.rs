use super::*;

const NOW: u64 = 1_800_000_000;

fn run(byte: u8) -> RunId {
    RunId::from_bytes([byte; 16])
}

fn key() -> TokenKey {
    TokenKey::of(Some(&SigningKey::new("signkey-test-00112233")))
}

#[test]
fn a_token_opens_its_run_for_its_time() {
    let token = key().for_run(run(1), "t".to_owned(), NOW);
    let check = |run, now| key().check_for_run(&token, run, now);
    assert_eq!(check(run(1), NOW + RUN_TOKEN_S - 1), Ok(()));
    assert_eq!(check(run(1), NOW + RUN_TOKEN_S), Err(TokenError::Expired));
    assert_eq!(check(run(2), NOW), Err(TokenError::Other));
    let claims = token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&BASE64.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["iss"], "api.inngest.com");
    assert_eq!(claims["exp"], NOW + 3_600);
}

#[test]
fn what_another_key_signed_or_someone_changed_opens_nothing() {
    let check = |token: &str| key().check_for_run(token, run(1), NOW);
    let others = [
        TokenKey::of(None),
        TokenKey::of(Some(&SigningKey::new("signkey-test-ff"))),
    ];
    for other in others {
        let token = other.for_run(run(1), String::new(), NOW);
        assert_eq!(check(&token), Err(TokenError::Invalid));
    }
    let token = key().for_run(run(1), String::new(), NOW);
    let parts: Vec<&str> = token.split('.').collect();
    let later = json!({"iss": RUN_ISSUER, "iat": 1, "exp": NOW * 2, "jti": "", "run_id": run(1)});
    let later = BASE64.encode(later.to_string());
    let none = BASE64.encode(r#"{"alg":"none"}"#);
    for forged in [
        format!("{}.{later}.{}", parts[0], parts[2]),
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        token[..token.len() - 2].to_owned(),
        "x".repeat(10_000),
        "..".to_owned(),
        String::new(),
    ] {
        assert_eq!(check(&forged), Err(TokenError::Invalid), "{forged}");
    }
}

#[test]
fn while_keys_are_changed_the_tokens_of_both_are_good() {
    let old = SigningKey::new("signkey-test-ff");
    let both = key().or(Some(&old));
    let token = TokenKey::of(Some(&old)).for_run(run(1), String::new(), NOW);
    assert_eq!(both.check_for_run(&token, run(1), NOW), Ok(()));
    let token = both.for_run(run(1), String::new(), NOW);
    assert_eq!(key().check_for_run(&token, run(1), NOW), Ok(()));
    for other in [
        TokenKey::of(None),
        TokenKey::of(Some(&SigningKey::new("signkey-test-fe"))),
    ] {
        let token = other.for_run(run(1), String::new(), NOW);
        let checked = both.check_for_run(&token, run(1), NOW);
        assert_eq!(checked, Err(TokenError::Invalid));
    }
}

#[test]
fn an_algorithm_that_we_do_not_use_is_refused_even_with_a_good_signature() {
    for header in [
        r#"{"alg":"HS512"}"#,
        r#"{"alg":"none"}"#,
        r#"{"typ":"JWT"}"#,
        "[]",
    ] {
        let token = signed(header, &json!({"iss": RUN_ISSUER}));
        let run = key().check_for_run(&token, run(1), NOW);
        assert_eq!(run, Err(TokenError::Invalid), "{header}");
        let realtime = key().check_realtime(&token, NOW);
        assert_eq!(realtime, Err(TokenError::Invalid), "{header}");
    }
}

#[test]
fn a_token_for_a_stream_opens_no_output() {
    let token = key().for_stream(run(1), claims());
    assert_eq!(
        key().check_for_run(&token, run(1), NOW),
        Err(TokenError::Other)
    );
}

#[test]
fn a_token_for_a_connection_opens_that_connection_for_its_time() {
    let token = key().for_connection("01C", NOW);
    let check = |connection, now| key().check_for_connection(&token, connection, now);
    assert_eq!(check("01C", NOW + CONNECTION_TOKEN_S - 1), Ok(()));
    assert_eq!(
        check("01C", NOW + CONNECTION_TOKEN_S),
        Err(TokenError::Expired)
    );
    assert_eq!(check("01D", NOW), Err(TokenError::Other));
    let own = TokenKey::from_secret([7; 32]);
    assert_eq!(
        own.check_for_connection(&token, "01C", NOW),
        Err(TokenError::Invalid)
    );
    assert_eq!(
        key().check_for_run(&token, run(1), NOW),
        Err(TokenError::Other)
    );
    let of_a_run = key().for_run(run(1), "01C".to_owned(), NOW);
    assert_eq!(
        key().check_for_connection(&of_a_run, "01C", NOW),
        Err(TokenError::Other)
    );
}

#[test]
fn debug_output_keeps_the_key_secret() {
    assert_eq!(format!("{:?}", key()), "TokenKey(…)");
}

fn claims() -> RealtimeClaims<'static> {
    RealtimeClaims {
        id: "t".to_owned(),
        account: "account",
        environment: "env",
        now_s: NOW,
    }
}

/// A token with any header and claims, and a good signature.
fn signed(header: &str, claims: &Value) -> String {
    let signed = format!(
        "{}.{}",
        BASE64.encode(header),
        BASE64.encode(claims.to_string())
    );
    let signature = BASE64.encode(mac(&key().secret, signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn in_env(topic: Topic) -> Topic {
    Topic {
        env_id: "env".to_owned(),
        ..topic
    }
}

#[test]
fn a_token_grants_its_topics_for_a_minute() {
    let topics = vec![Topic::new("user:1", "news"), Topic::new("user:1", "tips")];
    let token = key().for_realtime(&Grant::Subscribe(topics.clone()), claims());
    let topics = topics.into_iter().map(in_env).collect();
    let check = |now| key().check_realtime(&token, now);
    assert_eq!(check(NOW + 59), Ok(Grant::Subscribe(topics)));
    assert_eq!(check(NOW + 60), Err(TokenError::Expired));
}

#[test]
fn a_stream_is_followed_for_an_hour() {
    let token = key().for_stream(run(1), claims());
    let topic = in_env(Topic::new(run(1).to_string(), "$stream"));
    let granted = key().check_realtime(&token, NOW + RUN_TOKEN_S - 1);
    assert_eq!(granted, Ok(Grant::Subscribe(vec![topic])));
}

#[test]
fn who_may_subscribe_may_not_publish_and_who_may_publish_may_not_subscribe() {
    for channel in [None, Some("user:1".to_owned())] {
        let grant = Grant::Publish { channel };
        let token = key().for_realtime(&grant, claims());
        assert_eq!(key().check_realtime(&token, NOW), Ok(grant));
    }
    let topic = json!({"kind": "run", "channel": "c", "name": "n"});
    for odd in [
        json!({"topics": [topic], "publish": true}),
        json!({"topics": [], "publish": false}),
        json!({}),
        json!({"topics": "all"}),
    ] {
        let mut claims = odd.clone();
        claims["iss"] = REALTIME_ISSUER.into();
        claims["exp"] = (NOW + 1).into();
        let token = signed(r#"{"alg":"HS256"}"#, &claims);
        let granted = key().check_realtime(&token, NOW);
        assert_eq!(granted, Err(TokenError::Other), "{odd}");
    }
}

#[test]
fn a_token_for_an_output_grants_nothing_else() {
    let token = key().for_run(run(1), String::new(), NOW);
    assert_eq!(key().check_realtime(&token, NOW), Err(TokenError::Other));
}
