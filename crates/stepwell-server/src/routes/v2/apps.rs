//! Apps.

use super::super::query::Params;
use super::super::rest::moment;
use super::{Answer, Envelope, Errors, Page, Refusal, found, page};
use crate::state::Shared;
use axum::extract::{Path, State};
use serde::Serialize;
use std::collections::HashMap;
use stepwell_protocol::AppId;
use stepwell_store::{AppRecord, Reader, StoreError};
use utoipa::ToSchema;

/// Apps of a page, when nobody says, and at most.
const APPS_DEFAULT: usize = 20;
const APPS_MAX: usize = 100;

/// An app.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct App {
    /// Its name, by which it is known.
    pub(super) id: String,
    name: String,
    /// Its internal id.
    internal_id: String,
    /// Where it is called.
    url: String,
    sdk_language: String,
    sdk_version: String,
    framework: String,
    /// Whether it has no function any more.
    is_archived: bool,
    function_count: usize,
    /// When it last registered.
    #[schema(format = DateTime)]
    synced_at: String,
}

/// Apps, by name.
#[utoipa::path(get, path = "/apps", tag = "Apps",
    params(
        ("archived" = Option<bool>, Query, description = "Only those that are, or are not."),
        ("cursor" = Option<String>, Query), ("limit" = Option<u32>, Query, minimum = 1, maximum = 100)),
    responses((status = 200, body = Envelope<Vec<App>>), (status = 400, body = Errors)))]
pub(super) async fn list(State(shared): State<Shared>, params: Params) -> Answer<Vec<App>> {
    let archived = params.flag("archived")?;
    let limit = params.limit(APPS_DEFAULT, APPS_MAX)?;
    let mut apps = shared.handle.read(all).await?;
    apps.retain(|app| {
        let is_after = params.one("cursor").is_none_or(|cursor| &*app.id > cursor);
        is_after && archived.is_none_or(|archived| app.is_archived == archived)
    });
    let has_more = apps.len() > limit;
    apps.truncate(limit);
    let last = apps.last().map(|app| app.id.clone());
    let place = Page {
        cursor: last.filter(|_| has_more),
        has_more,
        limit,
    };
    Ok(page(&shared, apps, place))
}

/// An app.
#[utoipa::path(get, path = "/apps/{app}", tag = "Apps",
    params(("app" = String, Path, description = "Its name.")),
    responses((status = 200, body = Envelope<App>), (status = 404, body = Errors)))]
pub(super) async fn get(State(shared): State<Shared>, Path(app): Path<String>) -> Answer<App> {
    let apps = shared.handle.read(all).await?;
    let mut named = apps
        .into_iter()
        .filter(|known| known.id == app || known.internal_id == app);
    let app = named.next().ok_or_else(|| no_app(&app))?;
    Ok(found(&shared, app))
}

pub(super) fn no_app(name: &str) -> Refusal {
    Refusal::not_found(format!("there is no app '{name}'"))
}

fn all(reader: &dyn Reader) -> Result<Vec<App>, StoreError> {
    let mut counts: HashMap<AppId, usize> = HashMap::new();
    for function in reader.functions()? {
        *counts.entry(function.app).or_default() += 1;
    }
    let apps = reader.apps()?.into_iter();
    let apps = apps.map(|app| {
        let functions = counts.get(&app.id).copied().unwrap_or(0);
        App::of(app, functions)
    });
    Ok(apps.collect())
}

impl App {
    fn of(record: AppRecord, function_count: usize) -> Self {
        let (language, version) = record.sdk.split_once(':').unwrap_or((&record.sdk, ""));
        Self {
            id: record.name.clone(),
            internal_id: record.id.to_string(),
            sdk_language: language.to_owned(),
            sdk_version: version.strip_prefix('v').unwrap_or(version).to_owned(),
            name: record.name,
            url: record.url,
            framework: record.framework,
            is_archived: function_count == 0,
            function_count,
            synced_at: moment(record.synced_at),
        }
    }
}
