//! Where things are kept: the database and the blobs.

use super::{bad, given, is_blank, only_known};
use crate::Failure;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use studio233_blob::{Bucket, parse_bucket_url};
use studio233_db::DatabaseUrl;
use url::Url;

/// The prefix of the bucket's variables.
const S3: &str = "STUDIO233_S3_";
const S3_SETTINGS: [&str; 5] = [
    "endpoint",
    "region",
    "access_key_id",
    "secret_access_key",
    "session_token",
];
const REGION: &str = "us-east-1";

/// A text that may hold a secret: `Debug` does not tell it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub(super) String);

impl FromStr for Hidden {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Where blobs are kept.
#[derive(Debug, Clone)]
pub enum BlobPlace {
    /// As files.
    Folder(PathBuf),
    /// As objects.
    Bucket(Box<Bucket>),
}

pub(super) fn database(
    flag: Option<&Hidden>,
    file: Option<&Hidden>,
    beside_file: impl Fn(PathBuf) -> PathBuf,
) -> Result<Option<DatabaseUrl>, Failure> {
    let parse = |text: &Hidden| {
        DatabaseUrl::parse(&text.0).map_err(|error| Failure::of("configuration", &error))
    };
    if let Some(text) = flag.filter(|text| !is_blank(&text.0)) {
        return parse(text).map(Some);
    }
    let Some(url) = file.map(parse).transpose()? else {
        return Ok(None);
    };
    let beside = url.sqlite_file().map(Path::to_owned).map(beside_file);
    Ok(Some(beside.map_or(url, DatabaseUrl::sqlite)))
}

pub(super) fn blobs(
    flag: Option<&str>,
    file: Option<&str>,
    settings: &BTreeMap<String, Hidden>,
    environment: impl Fn(&str) -> Option<String>,
    beside_file: impl Fn(PathBuf) -> PathBuf,
) -> Result<Option<BlobPlace>, Failure> {
    let flag = flag.filter(|text| !is_blank(text));
    let place = match (flag, file) {
        (Some(place), _) | (None, Some(place)) => place,
        (None, None) => return Ok(None),
    };
    if !place.contains("://") {
        let folder = PathBuf::from(place);
        let folder = if flag.is_some() {
            folder
        } else {
            beside_file(folder)
        };
        return Ok(Some(BlobPlace::Folder(folder)));
    }
    let (name, folder) = parse_bucket_url(place).map_err(|error| bad(error.to_string()))?;
    only_known("s3", settings, &S3_SETTINGS)?;
    let get = |key: &str| given(settings, &environment, &variable(key), key);
    let must = |key: &str| {
        get(key).ok_or_else(|| {
            bad(format!("the bucket {name} needs {}", variable(key))).hint(
                "put the keys to the bucket into the environment, or into [s3] of studio233.toml",
            )
        })
    };
    let endpoint = get("endpoint").map(|text| endpoint(&text)).transpose()?;
    let bucket = Bucket {
        folder,
        region: get("region").unwrap_or_else(|| REGION.to_owned()),
        endpoint,
        access_key_id: must("access_key_id")?,
        secret_access_key: must("secret_access_key")?,
        session_token: get("session_token"),
        name,
    };
    Ok(Some(BlobPlace::Bucket(Box::new(bucket))))
}

fn variable(key: &str) -> String {
    format!("{S3}{}", key.to_ascii_uppercase())
}

fn endpoint(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).ok();
    let usable = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
    };
    url.filter(usable).ok_or_else(|| {
        bad(format!("{} is no address", variable("endpoint")))
            .hint("write scheme, host and port: https://s3.example.com")
    })
}
