//! What can be done.

use super::app::{App, find};
use super::asked::Asked;
use super::legacy::FunctionRun;
use super::scalar::{Bytes, Map, Ulid};
use super::{unavailable, unreadable};
use crate::poller::ANOTHER_APP;
use crate::removal::RemoveError;
use async_graphql::{Context, Error, InputObject, Object, Result};
use serde_json::{Value, json};
use stepwell_protocol::register::normalize_url;
use stepwell_protocol::{AppId, RunId, shared_json};
use stepwell_store::AppRecord;

pub(super) struct Mutation;

/// An app that is to register.
#[derive(InputObject)]
pub(super) struct CreateAppInput {
    url: String,
}

/// An app that has moved.
#[derive(InputObject)]
pub(super) struct UpdateAppInput {
    /// Its id, or its name.
    id: String,
    url: String,
}

/// The step that a run is run again from.
#[derive(InputObject)]
pub(super) struct RerunFromStepInput {
    /// Its name, or its hashed id.
    #[graphql(name = "stepID")]
    step_id: String,
    /// A JSON array: what it gets instead of its own arguments.
    input: Option<Bytes>,
}

#[Object]
impl Mutation {
    /// Has the app at a URL register.
    #[graphql(complexity = "super::cost(10, 1, child_complexity)")]
    async fn create_app(&self, context: &Context<'_>, input: CreateAppInput) -> Result<App> {
        let asked = context.data::<Asked>()?;
        asked
            .have_registered(&input.url, None)
            .await
            .map_err(Error::new)?;
        let url = normalize_url(&input.url).unwrap_or_default();
        let read = asked.read(|reader| reader.apps()).await;
        let apps = read.map_err(unreadable)?.into_iter();
        let latest = apps
            .filter(|app| app.url == input.url || app.url == url)
            .max_by_key(|app| app.synced_at);
        let app = latest.map(App::of);
        app.ok_or_else(|| Error::new("the app answered, but has not registered under this URL"))
    }

    /// Has an app register at another URL, where it is called from then on.
    #[graphql(complexity = "super::cost(10, 1, child_complexity)")]
    async fn update_app(&self, context: &Context<'_>, input: UpdateAppInput) -> Result<App> {
        let asked = context.data::<Asked>()?;
        let id = input.id.parse().unwrap_or_else(|_| AppId::of(&input.id));
        let read = async || asked.read(move |reader| find(reader, id)).await;
        let Some(known) = read().await.map_err(unreadable)? else {
            return Err(Error::new("app not found"));
        };
        asked
            .have_registered(&input.url, Some(&known.name))
            .await
            .map_err(Error::new)?;
        let url = normalize_url(&input.url).unwrap_or_default();
        let app = read().await.map_err(unreadable)?;
        let moved = app.filter(|app| app.url == input.url || app.url == url);
        let app = moved.map(App::of);
        app.ok_or_else(|| Error::new(ANOTHER_APP))
    }

    /// Removes an app with its functions, by its id or its name: they start nothing any more.
    #[graphql(complexity = "super::cost(1, 0, 0)")]
    async fn delete_app(&self, context: &Context<'_>, id: String) -> Result<String> {
        let asked = context.data::<Asked>()?;
        let app = id.parse().unwrap_or_else(|_| AppId::of(&id));
        match remove(asked, |known| known.id == app).await? {
            Some(app) => Ok(app.to_string()),
            None => Err(Error::new("app not found")),
        }
    }

    /// The same by its name.
    #[graphql(complexity = "super::cost(1, 0, 0)")]
    async fn delete_app_by_name(&self, context: &Context<'_>, name: String) -> Result<bool> {
        let asked = context.data::<Asked>()?;
        let removed = remove(asked, |known| known.name == name).await?;
        Ok(removed.is_some())
    }

    /// Runs a function, whatever its triggers.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the protocol's, by name"
    )]
    #[graphql(complexity = "super::cost(1, 0, 0)")]
    async fn invoke_function(
        &self,
        context: &Context<'_>,
        function_slug: String,
        data: Option<Map>,
        meta: Option<Map>,
        user: Option<Map>,
        #[graphql(name = "debugSessionID")] _debug_session: Option<Ulid>,
        #[graphql(name = "debugRunID")] _debug_run: Option<Ulid>,
    ) -> Result<Option<bool>> {
        let asked = context.data::<Asked>()?;
        let mut payload = json!({"data": data.map_or_else(|| json!({}), |data| data.0)});
        for (name, value) in [("meta", meta), ("user", user)] {
            if let Some(Map(value)) = value {
                payload[name] = value;
            }
        }
        let invoked = asked.handle.invoke(function_slug.clone(), &payload).await;
        match invoked.map_err(unavailable)? {
            (_, Some(_)) => Ok(Some(true)),
            (_, None) => {
                let message = format!("could not find function with ID: {function_slug}");
                Err(Error::new(message))
            }
        }
    }

    /// Cancels a run and gives up its calls. One that has ended stays as it is.
    #[graphql(complexity = "super::cost(1, 1, child_complexity)")]
    async fn cancel_run(
        &self,
        context: &Context<'_>,
        #[graphql(name = "runID")] run_id: Ulid,
    ) -> Result<Option<FunctionRun>> {
        let asked = context.data::<Asked>()?;
        let id = RunId(run_id.0);
        let cancelled = asked.handle.cancel_run(id).await.map_err(unavailable)?;
        // One that is not running is none to cancel; whether it is there at all, reading tells.
        cancelled.unwrap_or_default();
        let run = asked.read(move |reader| reader.run(id)).await;
        let run = run.map_err(unreadable)?.map(FunctionRun::of);
        run.map(Some).ok_or_else(|| Error::new("run not found"))
    }

    /// Runs a run again, whole or from a step on.
    #[graphql(complexity = "super::cost(1, 0, 0)")]
    async fn rerun(
        &self,
        context: &Context<'_>,
        #[graphql(name = "runID")] run_id: Ulid,
        from_step: Option<RerunFromStepInput>,
        #[graphql(name = "debugSessionID")] _debug_session: Option<Ulid>,
        #[graphql(name = "debugRunID")] _debug_run: Option<Ulid>,
    ) -> Result<Ulid> {
        let from = match from_step {
            None => None,
            Some(from) => {
                let input = from.input.filter(|input| !input.0.is_empty());
                let input = input.map(|input| arguments(input.0)).transpose()?;
                Some((from.step_id, input))
            }
        };
        let asked = context.data::<Asked>()?;
        let run = asked.handle.repeat(RunId(run_id.0), from).await;
        let run = run.map_err(|error| match error {
            stepwell_runtime::RepeatError::Store(error) => unreadable(error),
            other => Error::new(other.to_string()),
        })?;
        Ok(Ulid(run.0))
    }
}

async fn remove(asked: &Asked, is_wanted: impl Fn(&AppRecord) -> bool) -> Result<Option<AppId>> {
    let removed = asked.remove_app(is_wanted).await;
    removed.map_err(|error| match error {
        RemoveError::Store(error) => unreadable(error),
        RemoveError::Unavailable(error) => unavailable(error),
    })
}

fn arguments(text: String) -> Result<stepwell_protocol::SharedJson> {
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Array(_)) => shared_json(text).map_err(|error| Error::new(error.to_string())),
        _ => Err(Error::new(
            "fromStep.input: expected a JSON array of the step's arguments",
        )),
    }
}
