//! `PUT /api/files/{name}`: a PDF comes in.

use super::Shared;
use super::error::ApiError;
use super::owner::User;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use studio233_blob::{ContentType, Key, Put};
use studio233_rag::{blob_url, pdf};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Where uploads lie; only these may be registered as assets by a `blob:` URL, and only by who uploaded them.
const FOLDER: &str = "uploads";
/// A user's part of a key: so many hex digits of a hash of who it is.
const OWNER_DIGITS: usize = 32;
/// Uploads are held in memory until they are whole; more wait.
const UPLOADS_MAX: usize = 4;
/// For a place among them.
const PLACE_WAIT_MAX: Duration = Duration::from_secs(10);
/// Between two pieces of a body.
const STALL_MAX: Duration = Duration::from_secs(30);
/// From the first piece to the last: the largest file at 2 Mbit/s, about.
const UPLOAD_MAX: Duration = Duration::from_secs(300);
/// A PDF shows itself within this much.
const HEADER_BYTES: usize = 1024;
const NAME_BYTES_MAX: usize = 100;

/// The places for uploads; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Uploads(Arc<Semaphore>);

impl Default for Uploads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(UPLOADS_MAX)))
    }
}

impl Uploads {
    async fn place(&self) -> Result<SemaphorePermit<'_>, ApiError> {
        match tokio::time::timeout(PLACE_WAIT_MAX, self.0.acquire()).await {
            Ok(place) => place.map_err(|_| ApiError::internal()),
            Err(_) => Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "uploads_busy",
                format!("{UPLOADS_MAX} files are being uploaded already"),
            )
            .hint("send the file again when one of them has arrived")),
        }
    }
}

/// The caller's folder. Nobody else's assets may name what lies in it, whatever they know of the file.
pub(crate) fn folder_of(user: &User) -> String {
    let owner = hex::encode(Sha256::digest(&user.0));
    format!("{FOLDER}/{}", &owner[..OWNER_DIGITS])
}

/// Stores the file in the caller's folder under the hash of its content, so that uploading twice is uploading once. What is no PDF, or too
/// large, is refused as soon as that shows.
pub(crate) async fn upload(
    State(shared): State<Shared>,
    user: User,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    check_type(&headers)?;
    let limit = shared.upload_bytes_max;
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|bytes| bytes > limit) {
        return Err(too_large(limit));
    }
    let _place = shared.uploads.place().await?;
    let file = receive(body, declared.unwrap_or_default(), limit).await?;
    let sha256 = hex::encode(Sha256::digest(&file));
    let key = format!("{}/{sha256}/{}", folder_of(&user), safe_name(&name));
    let key = Key::parse(&key).map_err(|error| ApiError::bad("bad_name", error.to_string()))?;
    let size_bytes = file.len();
    shared
        .blobs
        .put(&key, file, &ContentType::pdf(), Put::Overwrite)
        .await?;
    let answer = json!({
        "url": blob_url(&key),
        "name": name,
        "size": size_bytes,
        "mimeType": "application/pdf",
        "sha256": sha256,
    });
    Ok((StatusCode::CREATED, Json(answer)))
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let declared = headers.get(header::CONTENT_TYPE);
    let essence = declared
        .and_then(|value| value.to_str().ok())
        .and_then(|text| ContentType::parse(text).ok());
    let usable = match essence {
        None => declared.is_none(),
        Some(essence) => {
            ["application/pdf", "application/octet-stream"].contains(&essence.as_str())
        }
    };
    usable.then_some(()).ok_or_else(not_pdf)
}

/// The whole body. `declared` bytes are expected, at most `limit` taken.
async fn receive(body: Body, declared: u64, limit: u64) -> Result<Bytes, ApiError> {
    let received = tokio::time::timeout(UPLOAD_MAX, collect(body, declared, limit)).await;
    received.unwrap_or_else(|_| {
        Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "upload_slow",
            format!("the file did not arrive within {} s", UPLOAD_MAX.as_secs()),
        )
        .hint("send it over a faster connection, or make it smaller"))
    })
}

async fn collect(body: Body, declared: u64, limit: u64) -> Result<Bytes, ApiError> {
    let expected = usize::try_from(declared.min(limit)).unwrap_or_default();
    let mut file = BytesMut::with_capacity(expected);
    let mut pieces = body.into_data_stream();
    let mut checked = false;
    loop {
        let piece = tokio::time::timeout(STALL_MAX, pieces.next()).await;
        let piece = match piece {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(_) => {
                return Err(ApiError::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "upload_stalled",
                    format!("nothing came for {} s", STALL_MAX.as_secs()),
                )
                .hint("send the file again"));
            }
        };
        let piece = piece.map_err(|error| {
            ApiError::bad("upload_broken", format!("the upload broke off: {error}"))
                .hint("send the file again")
        })?;
        if (file.len() + piece.len()) as u64 > limit {
            return Err(too_large(limit));
        }
        file.extend_from_slice(&piece);
        if !checked && file.len() >= HEADER_BYTES {
            checked = true;
            if !pdf::looks_like_pdf(&file) {
                return Err(not_pdf());
            }
        }
    }
    if file.is_empty() {
        return Err(ApiError::bad("empty_file", "the file is empty")
            .hint("choose the PDF of the brand's guideline"));
    }
    if !pdf::looks_like_pdf(&file) {
        return Err(not_pdf());
    }
    Ok(file.freeze())
}

fn not_pdf() -> ApiError {
    ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "not_a_pdf",
        "the file is not a PDF",
    )
    .hint("export the document as PDF and send that, as application/pdf")
}

fn too_large(limit: u64) -> ApiError {
    let limit_mb = limit / (1024 * 1024);
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "file_too_large",
        format!("the file is larger than {limit_mb} MB"),
    )
    .hint("export it with smaller images, or split it")
}

/// The name as a part of a key: what a key cannot hold becomes a dash, the end with the extension is kept.
fn safe_name(name: &str) -> String {
    let usable = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(usable).collect();
    let start = name.len().saturating_sub(NAME_BYTES_MAX);
    let name = name[start..].trim_start_matches(['.', '-']);
    if name.is_empty() {
        return "file.pdf".to_owned();
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Body, Bytes, UPLOADS_MAX, Uploads, receive, safe_name};
    use crate::api::error::ApiError;
    use axum::response::IntoResponse;
    use std::time::Duration;

    async fn told(error: ApiError) -> (u16, String) {
        let response = error.into_response();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await;
        let body: serde_json::Value = serde_json::from_slice(&body.unwrap()).unwrap();
        (status, body["error"]["code"].as_str().unwrap().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_that_trickles_is_ended() {
        let pieces = futures::stream::unfold(0, |number| async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            let piece = if number == 0 { "%PDF-1.7\n" } else { " " };
            Some((Ok::<_, std::io::Error>(Bytes::from(piece)), number + 1))
        });
        let error = receive(Body::from_stream(pieces), 0, 100)
            .await
            .unwrap_err();
        assert_eq!(told(error).await, (408, "upload_slow".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_waits_for_a_place_but_not_for_ever() {
        let uploads = Uploads::default();
        let mut places = Vec::new();
        for _ in 0..UPLOADS_MAX {
            places.push(uploads.place().await.unwrap());
        }
        let error = uploads.place().await.unwrap_err();
        assert_eq!(told(error).await, (503, "uploads_busy".to_owned()));
        places.pop();
        assert!(uploads.place().await.is_ok());
    }

    #[test]
    fn names_become_parts_of_keys() {
        for (name, expected) in [
            ("guide.pdf", "guide.pdf"),
            ("Our Brand (v2).pdf", "Our-Brand--v2-.pdf"),
            ("../../etc/passwd", "etc-passwd"),
            ("...", "file.pdf"),
            ("ä", "file.pdf"),
        ] {
            assert_eq!(safe_name(name), expected);
        }
        let long = format!("{}.pdf", "x".repeat(300));
        assert!(safe_name(&long).len() == 100 && safe_name(&long).ends_with(".pdf"));
    }
}
