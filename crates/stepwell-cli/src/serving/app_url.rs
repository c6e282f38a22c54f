//! Where an app is, as it is given on a command line.

use url::Url;

/// The URL of an app; `http://` may be left out.
///
/// # Errors
/// What to write instead, when nothing can be asked there.
pub(super) fn parse_app_url(text: &str) -> Result<String, String> {
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    // A parser takes the first word of a path for the host where there is none.
    let host_is_there = whole
        .split_once("://")
        .is_some_and(|(_, rest)| !rest.starts_with('/'));
    let usable = Url::parse(&whole)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if usable && host_is_there {
        Ok(whole)
    } else {
        Err("write the URL of an app, e.g. http://localhost:3000/api/inngest".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::parse_app_url;

    #[test]
    fn a_url_is_taken_with_and_without_its_scheme() {
        for (text, url) in [
            (
                "localhost:3000/api/inngest",
                "http://localhost:3000/api/inngest",
            ),
            ("http://localhost:3000/x", "http://localhost:3000/x"),
            ("https://a.example", "https://a.example"),
            ("[::1]:3000/x", "http://[::1]:3000/x"),
        ] {
            assert_eq!(parse_app_url(text).as_deref(), Ok(url), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for text in [
            "",
            "/api/inngest",
            "ftp://a.example/x",
            "http://",
            "localhost:x/api",
            "a b",
        ] {
            assert!(parse_app_url(text).is_err(), "{text}");
        }
    }
}
