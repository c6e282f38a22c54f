//! `/api/assets`: the producer of brand events.
//!
//! An asset remembers the event that last asked for it to be read. Registering it again while that event's run is
//! unfinished, or while the event is not known to have arrived, goes on with that event; afterwards it is a new
//! event. So whoever crashed may simply register again. With `"resume": "unseen"` a run that has completed counts
//! as unfinished, too, until `POST /api/assets/{id}/seen` says that its result was shown.

use super::Shared;
use super::error::ApiError;
use super::files;
use super::json::JsonBody;
use super::owner::{User, storable};
use super::workspaces::now_ms;
use crate::engine::RunStatus;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use stepwell::{EventId, OutgoingEvent};
use studio233_blob::{ContentType, Key};
use studio233_db::{Asset, AssetEvent, AssetId, AssetType, NewAsset, Workspace};
use studio233_inngest::events::brand::{AssetVisionSync, Classification, KnowledgeIngested};
use tokio::sync::{Mutex, MutexGuard};
use url::Url;
use uuid::Uuid;

const NAME_CHARS_MAX: usize = 255;
const URL_BYTES_MAX: usize = 8 * 1024;
/// Events looked through for one whose arrival was not noted: it came within the moment before a crash.
const EVENTS_LOOKED_THROUGH: usize = 1_000;
const EVENTS_PAGE: usize = 50;
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
    #[serde(default)]
    resume: Resume,
}

/// Which earlier event is gone on with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Resume {
    /// One with an unfinished run.
    #[default]
    Unfinished,
    /// Also one whose run has completed without anybody having been shown the result.
    Unseen,
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
    let resume = new.resume;
    let new = check(&shared, &user, new, &workspace).await?;
    let asset = shared.database.upsert_asset(&new.asset, now_ms()).await?;
    let event = match EventKind::of(&asset) {
        Some(kind) => {
            let fields = new.event_fields(&workspace);
            Some(send(&shared, &asset.id, kind, resume, &fields).await?)
        }
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
    own_asset(&shared, &id, &user).await.map(Json)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Seen {
    event_id: String,
}

/// Whoever asked for the asset to be read was shown what came of it.
pub(crate) async fn seen(
    State(shared): State<Shared>,
    user: User,
    Path(id): Path<String>,
    JsonBody(seen): JsonBody<Seen>,
) -> Result<Json<Asset>, ApiError> {
    let asset = own_asset(&shared, &id, &user).await?;
    shared
        .database
        .see_asset_event(&asset.id, &seen.event_id)
        .await?;
    own_asset(&shared, &id, &user).await.map(Json)
}

async fn own_asset(shared: &Shared, id: &str, user: &User) -> Result<Asset, ApiError> {
    let absent = || ApiError::absent("asset", id);
    if !storable(id) {
        return Err(absent());
    }
    let found = shared.database.asset(&AssetId::new(id)).await?;
    let asset = found.ok_or_else(absent)?;
    let workspace = asset.workspace_id.as_ref().ok_or_else(absent)?;
    shared
        .own_workspace(workspace.as_str(), user)
        .await
        .map_err(|_| absent())?;
    Ok(asset)
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

async fn check(
    shared: &Shared,
    user: &User,
    new: New,
    workspace: &Workspace,
) -> Result<Checked, ApiError> {
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
        "blob" => upload_of(shared, user, url.path()).await?,
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
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it carries a user name or password".to_owned())
            .hint("give a signed URL instead, or upload the file with PUT /api/files/{name}"));
    }
    match url.scheme() {
        "http" | "https" | "blob" => Ok(url),
        scheme => Err(bad(format!("{scheme}: URLs are not fetched"))),
    }
}

/// What identifies an upload, and its size.
async fn upload_of(shared: &Shared, user: &User, key: &str) -> Result<(String, u64), ApiError> {
    let key = Key::parse(key).map_err(|error| ApiError::bad("bad_url", format!("url: {error}")))?;
    let own = files::folder_of(user);
    let inside = key.as_str().strip_prefix(&own);
    let inside = inside.and_then(|rest| rest.strip_prefix('/')?.split_once('/'));
    let Some((sha256, _)) = inside.filter(|(_, name)| !name.contains('/')) else {
        return Err(
            ApiError::bad("bad_url", format!("url: {key} is not an upload of yours"))
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

/// Registrations of one asset, one after another: two that sent its event at once could not tell which of the
/// two arrived first, and so started the run. Assets share a few locks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<[Mutex<()>; 16]>);

impl Turns {
    async fn take(&self, asset: &AssetId) -> MutexGuard<'_, ()> {
        let hash = asset.as_str().bytes().fold(0_usize, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(usize::from(byte))
        });
        self.0[hash % self.0.len()].lock().await
    }
}

async fn send(
    shared: &Shared,
    asset: &AssetId,
    kind: EventKind,
    resume: Resume,
    fields: &KnowledgeIngested,
) -> Result<SentEvent, ApiError> {
    let _turn = shared.turns.take(asset).await;
    let database = &shared.database;
    let found = database.asset(asset).await?;
    let previous = found.and_then(|asset| asset.event);
    let begun = match &previous {
        Some(event) => unfinished(shared, asset, kind, resume, event).await?,
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
            let next = format!("{asset}/{}", Uuid::new_v4());
            let last = previous.as_ref().map(|event| event.id.as_str());
            let noted = database.begin_asset_event(asset, last, &next, now_ms());
            if !noted.await? {
                return Err(ApiError::new(
                    StatusCode::CONFLICT,
                    "asset_busy",
                    "the asset is being registered by another program",
                )
                .hint("try again in a moment"));
            }
            next
        }
    };
    let event = kind.event(fields).id(&event_id);
    let received_as = shared.client.send(event).await?.to_string();
    database
        .finish_asset_event(asset, &event_id, &received_as, now_ms())
        .await?;
    Ok(SentEvent {
        id: received_as,
        name: kind.name(),
        resumed: false,
    })
}

/// How far an asset's noted event has come.
enum Begun {
    /// Nobody can say that it arrived.
    NotArrived(String),
    /// It arrived as this, and a run of it is unfinished, or its result was not seen.
    Runs(String),
    /// All its runs have ended.
    Done,
}

async fn unfinished(
    shared: &Shared,
    asset: &AssetId,
    kind: EventKind,
    resume: Resume,
    event: &AssetEvent,
) -> Result<Begun, ApiError> {
    let known = event.received_as.as_ref().and_then(|id| id.parse().ok());
    let received_as: EventId = match known {
        Some(id) => id,
        None => match find_arrived(shared, kind.name(), &event.id).await? {
            Some(id) => {
                shared
                    .database
                    .finish_asset_event(asset, &event.id, &id.to_string(), now_ms())
                    .await?;
                id
            }
            None => return Ok(Begun::NotArrived(event.id.clone())),
        },
    };
    let runs = shared.engine.runs_of_event(received_as).await?;
    let awaits_eyes = resume == Resume::Unseen && !event.seen;
    let runs_on = runs
        .iter()
        .any(|run| !run.status.has_ended() || (awaits_eyes && run.status == RunStatus::Completed));
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
