//! `archive-vision-result`: an image that was analysed, and what was seen in it, are kept.
//!
//! | step | does |
//! |---|---|
//! | `archive-metadata` | writes what was seen to `vision/metadata/<hash>/<time>-<uuid>.json`, and over `latest.json` beside it |
//! | `archive-source-image` | writes the image to `vision/source/<hash>/source.bin`, unless it is there |
//!
//! Each step may execute again after a crash: time and id of a blob's name are the run's, so it writes the same again.

use crate::events::Object;
use crate::events::vision::ArchiveRequested;
use crate::functions::Deps;
use crate::functions::failure::{Late, classify};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use stepwell::{Context, Error, Function, State};
use studio233_ai::{EncodedImage, ImageSource};
use studio233_blob::{BlobError, BlobStore, ContentType, Key, Put};
use studio233_rag::shown_url;
use uuid::Uuid;

/// The function's id.
pub const ID: &str = "archive-vision-result";

/// Looking up what is archived.
pub const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// Getting the image.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Writing one blob.
pub const UPLOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What `archive-metadata` records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Archived {
    /// Where this result is kept.
    pub key: String,
    /// Where the latest one is.
    pub latest: String,
}

/// What `archive-source-image` records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Where the image is kept.
    pub key: String,
    /// Its type.
    pub content_type: String,
}

/// What a run returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// `completed`.
    pub status: String,
    /// The image's, as it was asked for.
    pub image_hash: String,
}

/// The function.
#[must_use]
pub fn function(deps: &Deps) -> Function {
    Function::new(ID)
        .name("Archive Vision Result")
        .on::<ArchiveRequested>()
        .state(deps.clone())
        .handler(archive)
}

async fn archive(ctx: Context<ArchiveRequested>, deps: State<Deps>) -> Result<Output, Error> {
    let event = ctx.data();
    let step = ctx.step();
    let _: Archived = step
        .run("archive-metadata", || async {
            let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, ctx.run_id().to_string().as_bytes());
            let name = format!("{}-{id}.json", ctx.event().at.unix_ms());
            let archived = archive_metadata(&deps.blobs, event, &name).await;
            archived.inspect_err(|error| log(event, "archive-metadata", error))
        })
        .await?;
    let _: Source = step
        .run("archive-source-image", || async {
            let archived = archive_source(&deps, event).await;
            archived.inspect_err(|error| log(event, "archive-source-image", error))
        })
        .await?;
    Ok(Output {
        status: "completed".to_owned(),
        image_hash: event.image_hash.clone(),
    })
}

async fn archive_metadata(
    blobs: &BlobStore,
    event: &ArchiveRequested,
    name: &str,
) -> Result<Archived, Error> {
    let key = key(event, "metadata", name)?;
    let latest = self::key(event, "metadata", "latest.json")?;
    let json = metadata_json(&event.metadata)?;
    for key in [&key, &latest] {
        upload(blobs, key, json.clone(), &ContentType::json()).await?;
    }
    Ok(Archived {
        key: key.to_string(),
        latest: latest.to_string(),
    })
}

fn metadata_json(metadata: &Object) -> Result<bytes::Bytes, Error> {
    Ok(serde_json::to_vec(metadata)?.into())
}

async fn archive_source(deps: &Deps, event: &ArchiveRequested) -> Result<Source, Error> {
    let key = key(event, "source", "source.bin")?;
    if let Some(content_type) = archived_type(&deps.blobs, &key).await? {
        return Ok(Source {
            key: key.to_string(),
            content_type: content_type.as_str().to_owned(),
        });
    }
    let image = fetch(deps, &event.image_url).await?;
    let content_type = ContentType::parse(image.kind().content_type())?;
    upload(&deps.blobs, &key, image.bytes().clone(), &content_type).await?;
    Ok(Source {
        key: key.to_string(),
        content_type: content_type.as_str().to_owned(),
    })
}

/// The type of the image that is archived, if one is. One whose type is not known was not archived to the end: a crash came
/// between its bytes and their type.
async fn archived_type(blobs: &BlobStore, key: &Key) -> Result<Option<ContentType>, Error> {
    let found = within(LIST_TIMEOUT, "look up the archived image", blobs.head(key)).await?;
    match found {
        Ok(meta) => Ok(Some(meta.content_type).filter(|kind| kind.as_str().starts_with("image/"))),
        Err(BlobError::NotFound { .. }) => Ok(None),
        Err(error) => Err(classify(error)),
    }
}

/// The image, out of the URL itself or from where it says. Its first bytes must be an image's, whatever a server says they
/// are.
async fn fetch(deps: &Deps, url: &str) -> Result<EncodedImage, Error> {
    if url.starts_with("data:") {
        let image = EncodedImage::from_data_url(url);
        return image.map_err(|error| {
            let message = format!("the image in the data: URL cannot be read: {error}");
            Error::new("InvalidImage", message).non_retriable()
        });
    }
    let fetched = ImageSource::fetch(&deps.images, url);
    let fetched = within(FETCH_TIMEOUT, "fetch the image", fetched).await?;
    fetched.map_err(classify)
}

async fn upload(
    blobs: &BlobStore,
    key: &Key,
    bytes: bytes::Bytes,
    content_type: &ContentType,
) -> Result<(), Error> {
    let put = blobs.put(key, bytes, content_type, Put::Overwrite);
    let stored = within(UPLOAD_TIMEOUT, "store the blob", put).await?;
    stored.map_err(classify)
}

async fn within<T>(
    limit: Duration,
    doing: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, Error> {
    let done = tokio::time::timeout(limit, work).await;
    done.map_err(|_| classify(Late { doing, limit }))
}

/// A blob's key. The hash is the producer's: it must be one part of a key and no more.
fn key(event: &ArchiveRequested, kind: &str, name: &str) -> Result<Key, Error> {
    let hash = &event.image_hash;
    if hash.is_empty() || !hash.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let shown: String = hash.chars().take(80).collect();
        let message =
            format!("the image hash {shown:?} is none; send the SHA-256 of the URL in hex");
        return Err(Error::new("InvalidImageHash", message).non_retriable());
    }
    let key = Key::parse(&format!("{}/{kind}/{hash}/{name}", super::FOLDER));
    key.map_err(|error| Error::from(error).non_retriable())
}

fn log(event: &ArchiveRequested, step: &str, error: &Error) {
    let url = match event.image_url.starts_with("data:") {
        true => "data:…".to_owned(),
        false => shown_url(&event.image_url),
    };
    tracing::warn!(
        step,
        image_hash = event.image_hash,
        url,
        error = ?error,
        "archiving failed in a step"
    );
}

#[cfg(test)]
mod tests;
