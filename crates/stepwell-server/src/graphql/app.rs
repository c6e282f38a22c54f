//! Apps.

use super::asked::Asked;
use super::function::Function;
use super::scalar::Uuid;
use super::unreadable;
use crate::configuration::registered;
use async_graphql::{ComplexObject, Context, Enum, InputObject, Result, SimpleObject};
use std::sync::Arc;
use stepwell_protocol::AppId;
use stepwell_store::{AppRecord, Reader, StoreError};

/// How an app is called.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AppMethod {
    /// At a URL.
    Serve,
    /// Over a connection that it has opened.
    Connect,
    /// Not at all: it executes its endpoints by itself.
    Api,
}

/// Which apps.
#[derive(InputObject)]
#[graphql(name = "AppsFilterV1")]
pub(super) struct AppsFilter {
    pub(super) method: Option<AppMethod>,
}

/// An app.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct App {
    id: Uuid,
    /// Its name, by which it is known.
    #[graphql(name = "externalID")]
    external_id: String,
    name: String,
    sdk_language: String,
    sdk_version: String,
    framework: Option<String>,
    url: Option<String>,
    checksum: Option<String>,
    /// Why it did not register; always null: what did not is not there.
    error: Option<String>,
    app_version: Option<String>,
    connected: bool,
    autodiscovered: bool,
    #[graphql(skip)]
    app: AppId,
}

#[ComplexObject]
impl App {
    #[graphql(complexity = "super::cost(1, 50, child_complexity)")]
    async fn functions(&self, context: &Context<'_>) -> Result<Vec<Function>> {
        of_app(context.data::<Asked>()?, self.app).await
    }

    #[graphql(complexity = "super::cost(1, 0, 0)")]
    async fn function_count(&self, context: &Context<'_>) -> Result<usize> {
        Ok(of_app(context.data::<Asked>()?, self.app).await?.len())
    }

    #[graphql(complexity = "super::cost(1, 0, 0)")]
    async fn method(&self, context: &Context<'_>) -> Result<AppMethod> {
        self.method_of(context).await
    }
}

impl App {
    pub(super) async fn method_of(&self, context: &Context<'_>) -> Result<AppMethod> {
        let functions = of_app(context.data::<Asked>()?, self.app).await?;
        let runtime = functions.first().and_then(|function| {
            let config = registered(&function.0);
            let step = config.steps.into_values().next();
            step.map(|step| step.runtime.kind)
        });
        Ok(match runtime.as_deref() {
            Some("ws") => AppMethod::Connect,
            Some("api") => AppMethod::Api,
            _ => AppMethod::Serve,
        })
    }
}

async fn of_app(asked: &Asked, app: AppId) -> Result<Vec<Function>> {
    let read = asked.read(|reader| reader.functions());
    let functions = read.await.map_err(unreadable)?.into_iter();
    let of_app = functions.filter(|function| function.app == app);
    Ok(of_app
        .map(|function| Function(Arc::new(function)))
        .collect())
}

impl App {
    pub(super) fn of(record: AppRecord) -> Self {
        let (language, version) = record.sdk.split_once(':').unwrap_or((&record.sdk, ""));
        let version = version.strip_prefix('v').unwrap_or(version);
        Self {
            id: Uuid(record.id.0),
            sdk_language: language.to_owned(),
            sdk_version: version.to_owned(),
            external_id: record.name.clone(),
            name: record.name,
            framework: Some(record.framework).filter(|text| !text.is_empty()),
            url: Some(record.url),
            checksum: Some(record.checksum),
            error: None,
            app_version: None,
            connected: true,
            autodiscovered: false,
            app: record.id,
        }
    }
}

/// An app that was not removed.
pub(super) fn find(reader: &dyn Reader, id: AppId) -> Result<Option<AppRecord>, StoreError> {
    let mut apps = reader.apps()?.into_iter();
    Ok(apps.find(|app| app.id == id && !app.is_removed()))
}
