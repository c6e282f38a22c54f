use super::*;

/// A server whose `/<status>` redirects with that status to what the query says, before a key.
async fn redirecting() -> Server {
    Server::start(|seen| {
        let (path, to) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        let to = to.split("&key=").next().unwrap_or_default();
        match path.trim_start_matches('/').parse() {
            Ok(status) => answer(status, &[("location", to)], "moved"),
            Err(_) => answer(200, &[], r#"{"arrived":true}"#),
        }
    })
    .await
}

#[tokio::test]
async fn redirects_are_followed_as_browsers_do() {
    let server = redirecting().await;
    for (status, method, method_then, body_then) in [
        (301, "POST", "GET", ""),
        (302, "POST", "GET", ""),
        (303, "POST", "GET", ""),
        (301, "PUT", "PUT", "b"),
        (303, "PUT", "GET", ""),
        (303, "HEAD", "HEAD", "b"),
        (307, "POST", "POST", "b"),
        (308, "PUT", "PUT", "b"),
    ] {
        let value = value_of(fetch(json!({
            "url": format!("{}/{status}?/there?x=1%23y#z", server.url), "method": method, "body": "b",
            "headers": {"content-type": "text/x", "authorization": "Bearer t", "x-own": "1"},
        })))
        .await;
        assert_eq!(
            value["data"]["url"],
            format!("{}/there?x=1%23y", server.url)
        );
        assert_eq!(value["data"]["status_code"], 200);
        let seen = server.last();
        assert_eq!(
            (seen.method.as_str(), seen.body.as_str()),
            (method_then, body_then),
            "{status} {method}"
        );
        let content_type = if body_then.is_empty() { "" } else { "text/x" };
        assert_eq!(seen.header("content-type"), content_type);
        assert_eq!(
            (seen.header("authorization"), seen.header("x-own")),
            ("Bearer t", "1")
        );
    }
    for (status, to) in [(300, "/there"), (304, "/there")] {
        let url = format!("{}/{status}?{to}", server.url);
        let value = value_of(fetch(json!({"url": url, "method": "GET"}))).await;
        assert_eq!(value["data"]["status_code"], status);
    }
}

#[tokio::test]
async fn secrets_stay_with_the_origin_they_were_meant_for() {
    let (home, away) = (redirecting().await, redirecting().await);
    let opts = json!({
        "headers": {"Authorization": "Bearer hush", "Cookie": "a=hush", "X-Api-Key": "hush", "X-Own": "1"}, "body": "b",
    });
    let visit = |url: String| {
        let mut opts = opts.clone();
        opts["url"] = url.into();
        fetch(opts)
    };
    value_of(visit(format!("{}/307?{}/there", home.url, away.url))).await;
    let seen = away.last();
    assert!(!format!("{seen:?}").contains("hush"), "{seen:?}");
    assert_eq!((seen.header("x-own"), seen.body.as_str()), ("1", "b"));
    // Back again: whoever sent it there could choose where.
    value_of(visit(format!(
        "{}/307?{}/307?{}/back",
        home.url, away.url, home.url
    )))
    .await;
    let seen = home.last();
    assert_eq!(seen.target, "/back");
    assert!(!format!("{seen:?}").contains("hush"), "{seen:?}");
    // A name of the same machine is another origin, and a user in a redirect is not believed.
    let port = home.url.rsplit(':').next().unwrap();
    value_of(visit(format!(
        "{}/307?http://u:p@here.test:{port}/there",
        home.url
    )))
    .await;
    let seen = home.last();
    assert_eq!(seen.header("host"), format!("here.test:{port}"));
    assert_eq!(seen.header("authorization"), "");
}

#[tokio::test]
async fn keys_of_providers_stay_with_them_too() {
    let (home, away) = (redirecting().await, redirecting().await);
    for format in ["openai-chat", "anthropic", "bedrock", "gemini"] {
        for (to, arrives, keeps) in [
            ("/there".to_owned(), &home, true),
            (format!("{}/there", away.url), &away, false),
            (format!("{}/307?/there", away.url), &away, false),
            (format!("{}/307?{}/there", away.url, home.url), &home, false),
        ] {
            let url = format!("{}/307?{to}", home.url);
            let request =
                infer(json!({"url": url, "auth_key": "hush-key", "format": format, "body": {}}));
            let arrived = value_of(request).await;
            assert_eq!(arrived, json!({"data": {"arrived": true}}));
            let seen = arrives.last();
            assert!(seen.target.starts_with("/there"));
            assert_eq!(
                format!("{seen:?}").contains("hush-key"),
                keeps,
                "{format} {to}"
            );
        }
    }
}

#[tokio::test]
async fn redirects_end() {
    let server = Server::start(|seen| {
        let left: u32 = seen.target.trim_start_matches('/').parse().unwrap();
        match left {
            0 => answer(200, &[], ""),
            _ => answer(302, &[("location", &format!("/{}", left - 1))], ""),
        }
    })
    .await;
    let ten = value_of(fetch(json!({"url": format!("{}/10", server.url)}))).await;
    assert_eq!(ten["data"]["url"], format!("{}/0", server.url));
    let failure = failure_of(fetch(json!({"url": format!("{}/11", server.url)}))).await;
    assert_eq!(
        failure.error.message,
        format!("{} redirected more than 10 times", server.url)
    );
    assert!(!failure.retriable);
}

#[tokio::test]
async fn a_redirect_out_of_the_web_is_a_failure() {
    let server = redirecting().await;
    for (to, expected) in [
        (
            "ftp://example.com/hush",
            "the scheme 'ftp'; requests go over http and https only",
        ),
        (
            "file:///hush",
            "the scheme 'file'; requests go over http and https only",
        ),
        ("http://[hush", "what is not a URL: invalid IPv6 address"),
    ] {
        let failure = failure_of(fetch(json!({"url": format!("{}/302?{to}", server.url)}))).await;
        assert_eq!(
            failure.error.message,
            format!("{} redirected to {expected}", server.url)
        );
        assert!(!failure.retriable);
    }
}
