use crate::{BlobError, Key};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use std::fmt;
use std::time::Duration;
use url::Url;

/// For connecting, and for one request with all that it carries.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Whoever calls retries as well, and knows better for how long.
const RETRIES_MAX: usize = 3;
const RETRY_MAX: Duration = Duration::from_secs(60);

/// A bucket of S3, or of a store that speaks its protocol. `Debug` leaves the keys out.
#[derive(Clone)]
pub struct Bucket {
    pub name: String,
    /// All blobs lie below it, if it is given.
    pub folder: Option<Key>,
    /// The store's own name for where it is; many stores take `us-east-1`, or anything.
    pub region: String,
    /// Where the store is, if it is not Amazon's: scheme, host and port. Over `http` nothing is encrypted. The bucket is
    /// then in the path of requests, as any store understands, and else in the host, as Amazon's wants it.
    pub endpoint: Option<Url>,
    pub access_key_id: String,
    pub secret_access_key: String,
    /// Of temporary keys.
    pub session_token: Option<String>,
}

/// The text is no bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{shown:?} is not a bucket; write it like `s3://bucket` or `s3://bucket/folder`")]
pub struct InvalidBucketUrl {
    shown: String,
}

/// Some write the keys before the bucket, and a signature behind it.
fn without_keys(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match text.rsplit_once('@') {
        Some((before, after)) => {
            let scheme = before.find("//").map_or("", |at| &before[..at + 2]);
            format!("{scheme}…@{after}")
        }
        None => text.to_owned(),
    }
}

/// Takes `s3://bucket/folder` apart: the bucket's name and the folder in it.
///
/// # Errors
/// The text is of another form, or names a folder that no key could be in.
pub fn parse_bucket_url(text: &str) -> Result<(String, Option<Key>), InvalidBucketUrl> {
    let invalid = || InvalidBucketUrl {
        shown: without_keys(text).chars().take(200).collect(),
    };
    let rest = text.strip_prefix("s3://").ok_or_else(invalid)?;
    let (name, folder) = rest.split_once('/').unwrap_or((rest, ""));
    // https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    let character = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-._".contains(&c);
    if !(3..=63).contains(&name.len()) || !name.bytes().all(character) {
        return Err(invalid());
    }
    let folder = match folder.trim_end_matches('/') {
        "" => None,
        folder => Some(Key::parse(folder).map_err(|_| invalid())?),
    };
    Ok((name.to_owned(), folder))
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint.as_ref().map(Url::as_str);
        f.debug_struct("Bucket")
            .field("name", &self.name)
            .field("folder", &self.folder)
            .field("region", &self.region)
            .field("endpoint", &endpoint)
            .finish_non_exhaustive()
    }
}

impl Bucket {
    /// A client for it. Nothing is read from the environment, and nothing is asked of the bucket yet.
    pub(crate) fn client(&self) -> Result<AmazonS3, BlobError> {
        // Whoever installed one before us has decided already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = ClientOptions::new()
            .with_connect_timeout(CONNECT_MAX)
            .with_timeout(REQUEST_MAX)
            .with_allow_http(
                self.endpoint
                    .as_ref()
                    .is_some_and(|url| url.scheme() == "http"),
            );
        let retry = RetryConfig {
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_MAX,
            backoff: BackoffConfig::default(),
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.name)
            .with_region(&self.region)
            .with_access_key_id(&self.access_key_id)
            .with_secret_access_key(&self.secret_access_key)
            .with_virtual_hosted_style_request(self.endpoint.is_none())
            .with_client_options(options)
            .with_retry(retry);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
        }
        if let Some(token) = &self.session_token {
            builder = builder.with_token(token);
        }
        builder.build().map_err(|error| BlobError::Bucket {
            bucket: self.name.clone(),
            source: error.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_may_have_a_folder() {
        let folder = |text| Some(Key::parse(text).unwrap());
        for (text, expected) in [
            ("s3://studio", ("studio", None)),
            ("s3://studio/", ("studio", None)),
            (
                "s3://studio.example/a/b/",
                ("studio.example", folder("a/b")),
            ),
        ] {
            let (name, folder) = parse_bucket_url(text).unwrap();
            assert_eq!((name.as_str(), folder), expected, "{text}");
        }
        for text in [
            "studio",
            "s3://",
            "s3://ab",
            "s3://A/b",
            "s3://studio/../x",
            "s3://a@host/x",
        ] {
            assert!(parse_bucket_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_in_a_url_are_not_told_either() {
        let error = parse_bucket_url("s3://AKIA:secret/x@studio/a?signature=secret").unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"s3://…@studio/a\" is not a bucket; write it like `s3://bucket` or `s3://bucket/folder`"
        );
    }

    #[test]
    fn keys_are_not_told() {
        let bucket = Bucket {
            name: "studio".into(),
            folder: None,
            region: "r".into(),
            endpoint: None,
            access_key_id: "the-id".into(),
            secret_access_key: "the-secret".into(),
            session_token: Some("the-token".into()),
        };
        assert!(!format!("{bucket:?}").contains("the-"));
        let client = format!("{:?}", bucket.client().unwrap());
        assert!(
            !client.contains("the-secret") && !client.contains("the-token"),
            "{client}"
        );
    }
}
