//! `/api/assets`: the producer of brand events.
//!
//! An asset remembers the event that last asked for it to be read. Registering it again while that event's run is
//! unfinished, or while the event is not known to have arrived, goes on with that event; afterwards it is a new
//! event. So whoever crashed may simply register again: a run that this process has finished for one that was
//! stopped counts as unfinished for a moment, too.

use super::Shared;
use super::error::ApiError;
use super::files;
use super::json::JsonBody;
use super::owner::User;
use super::workspaces::now_ms;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use stepwell::{EventId, OutgoingEvent};
use studio233_blob::{ContentType, Key};
use studio233_db::{Asset, AssetEvent, AssetId, AssetType, NewAsset, Workspace};
use studio233_inngest::events::brand::{AssetVisionSync, Classification, KnowledgeIngested};
use url::Url;
use uuid::Uuid;

const NAME_CHARS_MAX: usize = 255;
const URL_BYTES_MAX: usize = 8 * 1024;
/// Events looked through for one whose arrival was not noted: it came within the moment before a crash.
const EVENTS_LOOKED_THROUGH: usize = 1_000;
const EVENTS_PAGE: usize = 50;
/// How long whoever asked for a run, and was stopped with it, has to come back for its result.
const RECOVERED_MS: u64 = 60_000;
/// Registrations of one asset at the same time.
const RACES_MAX: usize = 8;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct New {
    name: String,
    url: String,
    size: u64,
    mime_type: String,
    workspace_id: String,
    #[serde(default)]
    is_brand_asset: bool,
    #[serde(default)]
    classification: Classification,
}

/// What registering answers.
#[derive(Debug, Serialize)]
pub(crate) struct Registered {
    asset: Asset,
    /// The event that has the asset read; none for what is not read.
    event: Option<SentEvent>,
}

#[derive(Debug, Serialize)]
struct SentEvent {
    id: String,
    name: &'static str,
    /// Whether it is an earlier registration's, whose run is not finished.
    resumed: bool,
}

/// 201 with the asset; with its event, when it is one that jobs read.
pub(crate) async fn register(
    State(shared): State<Shared>,
    user: User,
    JsonBody(new): JsonBody<New>,
) -> Result<(StatusCode, Json<Registered>), ApiError> {
    let workspace = shared.own_workspace(&new.workspace_id, &user).await?;
    let new = check(&shared, new, &workspace).await?;
    let asset = shared.database.upsert_asset(&new.asset, now_ms()).await?;
    let event = match EventKind::of(&asset) {
        Some(kind) => Some(send(&shared, &asset, kind, &new.event_fields(&workspace)).await?),
        None => None,
    };
    let asset = match event {
        Some(_) => shared.database.asset(&asset.id).await?.unwrap_or(asset),
        None => asset,
    };
    Ok((StatusCode::CREATED, Json(Registered { asset, event })))
}

pub(crate) async fn show(
    State(shared): State<Shared>,
    user: User,
    Path(id): Path<String>,
) -> Result<Json<Asset>, ApiError> {
    let absent = || ApiError::absent("asset", &id);
    let found = shared.database.asset(&AssetId::new(&id)).await?;
    let asset = found.ok_or_else(absent)?;
    let workspace = asset.workspace_id.as_ref().ok_or_else(absent)?;
    shared
        .own_workspace(workspace.as_str(), &user)
        .await
        .map_err(|_| absent())?;
    Ok(Json(asset))
}

struct Checked {
    asset: NewAsset,
    classification: Classification,
}

impl Checked {
    fn event_fields(&self, workspace: &Workspace) -> KnowledgeIngested {
        KnowledgeIngested {
            workspace_id: workspace.id.to_string(),
            asset_id: self.asset.id.to_string(),
            url: self.asset.url.clone(),
            filename: self.asset.name.clone(),
            classification: self.classification,
        }
    }
}

async fn check(shared: &Shared, new: New, workspace: &Workspace) -> Result<Checked, ApiError> {
    let name = new.name.trim();
    let chars = name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&chars) || name.chars().any(char::is_control) {
        return Err(ApiError::bad(
            "bad_name",
            format!("name: an asset's name has 1 to {NAME_CHARS_MAX} printable characters"),
        ));
    }
    let mime_type = ContentType::parse(&new.mime_type)
        .map_err(|error| ApiError::bad("bad_mime_type", format!("mimeType: {error}")))?;
    let url = parse_url(&new.url)?;
    // An upload's identity is its content, whatever it is called; anything else's is its URL.
    let (identity, size_bytes) = match url.scheme() {
        "blob" => upload_of(shared, url.path()).await?,
        _ => (url.to_string(), new.size),
    };
    let id = asset_id(workspace, &identity);
    Ok(Checked {
        asset: NewAsset {
            id,
            name: name.to_owned(),
            url: new.url,
            size_bytes,
            mime_type: mime_type.as_str().to_owned(),
            metadata: json!({"classification": new.classification}),
            project_id: None,
            workspace_id: Some(workspace.id.clone()),
            is_brand_asset: new.is_brand_asset,
        },
        classification: new.classification,
    })
}

fn parse_url(text: &str) -> Result<Url, ApiError> {
    let bad = |message: String| {
        ApiError::bad("bad_url", format!("url: {message}"))
            .hint("give an https: URL, or upload the file with PUT /api/files/{name} and give its blob: URL")
    };
    if text.len() > URL_BYTES_MAX {
        return Err(bad(format!("it is longer than {URL_BYTES_MAX} bytes")));
    }
    let url = Url::parse(text).map_err(|error| bad(error.to_string()))?;
    match url.scheme() {
        "http" | "https" | "blob" => Ok(url),
        scheme => Err(bad(format!("{scheme}: URLs are not fetched"))),
    }
}

/// What identifies an upload, and its size.
async fn upload_of(shared: &Shared, key: &str) -> Result<(String, u64), ApiError> {
    let key = Key::parse(key).map_err(|error| ApiError::bad("bad_url", format!("url: {error}")))?;
    let parts: Vec<&str> = key.as_str().split('/').collect();
    let [files::FOLDER, sha256, _] = parts.as_slice() else {
        return Err(
            ApiError::bad("bad_url", format!("url: {key} is not an upload"))
                .hint("upload the file with PUT /api/files/{name} and give its blob: URL"),
        );
    };
    let identity = format!("sha256:{sha256}");
    let meta = shared.blobs.head(&key).await?;
    Ok((identity, meta.size_bytes))
}

fn asset_id(workspace: &Workspace, identity: &str) -> AssetId {
    let hash = Sha256::new()
        .chain_update(workspace.id.as_str())
        .chain_update([0])
        .chain_update(identity)
        .finalize();
    AssetId::new(format!("asset-{}", hex::encode(&hash[..16])))
}

/// Which event an asset calls for.
#[derive(Debug, Clone, Copy)]
enum EventKind {
    Document,
    Image,
}

impl EventKind {
    fn of(asset: &Asset) -> Option<Self> {
        match asset.kind {
            _ if !asset.is_brand_asset => None,
            AssetType::Image => Some(Self::Image),
            AssetType::Document if asset.mime_type == "application/pdf" => Some(Self::Document),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        use stepwell::Event;
        match self {
            Self::Document => KnowledgeIngested::NAME,
            Self::Image => AssetVisionSync::NAME,
        }
    }

    fn event(self, fields: &KnowledgeIngested) -> OutgoingEvent {
        let fields = fields.clone();
        match self {
            Self::Document => fields.into(),
            Self::Image => AssetVisionSync {
                workspace_id: fields.workspace_id,
                asset_id: fields.asset_id,
                url: fields.url,
                filename: fields.filename,
                classification: fields.classification,
            }
            .into(),
        }
    }
}

async fn send(
    shared: &Shared,
    asset: &Asset,
    kind: EventKind,
    fields: &KnowledgeIngested,
) -> Result<SentEvent, ApiError> {
    let mut previous = asset.event.clone();
    for _ in 0..RACES_MAX {
        let begun = match &previous {
            Some(event) => unfinished(shared, asset, kind, event).await?,
            None => Begun::Done,
        };
        let event_id = match begun {
            Begun::Runs(id) => {
                return Ok(SentEvent {
                    id,
                    name: kind.name(),
                    resumed: true,
                });
            }
            // Sent again under its id, which is received once.
            Begun::NotArrived(id) => id,
            Begun::Done => {
                let next = format!("{}/{}", asset.id, Uuid::new_v4());
                let last = previous.as_ref().map(|event| event.id.as_str());
                let won = shared
                    .database
                    .begin_asset_event(&asset.id, last, &next, now_ms())
                    .await?;
                if !won {
                    let current = shared.database.asset(&asset.id).await?;
                    previous = current.and_then(|asset| asset.event);
                    continue;
                }
                next
            }
        };
        let event = kind.event(fields).id(&event_id);
        let received_as = shared.client.send(event).await?.to_string();
        shared
            .database
            .finish_asset_event(&asset.id, &event_id, &received_as, now_ms())
            .await?;
        return Ok(SentEvent {
            id: received_as,
            name: kind.name(),
            resumed: false,
        });
    }
    Err(ApiError::new(
        StatusCode::CONFLICT,
        "asset_busy",
        "the asset is being registered by many requests at once",
    )
    .hint("try again in a moment"))
}

/// How far an asset's noted event has come.
enum Begun {
    /// Nobody can say that it arrived.
    NotArrived(String),
    /// It arrived as this, and a run of it is unfinished, or was just recovered.
    Runs(String),
    /// All its runs have ended.
    Done,
}

async fn unfinished(
    shared: &Shared,
    asset: &Asset,
    kind: EventKind,
    event: &AssetEvent,
) -> Result<Begun, ApiError> {
    let known = event.received_as.as_ref().and_then(|id| id.parse().ok());
    let received_as: EventId = match known {
        Some(id) => id,
        None => match find_arrived(shared, kind.name(), &event.id).await? {
            Some(id) => {
                shared
                    .database
                    .finish_asset_event(&asset.id, &event.id, &id.to_string(), now_ms())
                    .await?;
                id
            }
            None => return Ok(Begun::NotArrived(event.id.clone())),
        },
    };
    let runs = shared.engine.runs_of_event(received_as).await?;
    let (started_at, now) = (shared.started_at, shared.engine.now());
    let runs_on = runs.iter().any(|run| match run.ended_at {
        None => true,
        Some(ended_at) => {
            run.queued_at < started_at
                && ended_at >= started_at
                && now.ms_since(ended_at) < RECOVERED_MS
        }
    });
    Ok(match runs_on {
        true => Begun::Runs(received_as.to_string()),
        false => Begun::Done,
    })
}

/// Looks for an event by its producer's id among the newest.
async fn find_arrived(
    shared: &Shared,
    name: &'static str,
    external_id: &str,
) -> Result<Option<EventId>, ApiError> {
    let mut before = None;
    for _ in 0..EVENTS_LOOKED_THROUGH / EVENTS_PAGE {
        let page = shared.engine.events(name, before, EVENTS_PAGE).await?;
        let hit = page.iter().find(|event| event.external_id == external_id);
        if let Some(hit) = hit {
            return Ok(Some(hit.id));
        }
        before = match page.last() {
            Some(last) if page.len() == EVENTS_PAGE => Some(last.id),
            _ => return Ok(None),
        };
    }
    Ok(None)
}
