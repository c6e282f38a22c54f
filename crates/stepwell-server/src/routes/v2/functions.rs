//! An app's functions, and their runs.

use super::super::query::Params;
use super::apps::no_app;
use super::run_list::{RunListParams, Wanted, is_app, is_named};
use super::run_row::{AppReference, Run, id_in_app};
use super::{Answer, Envelope, Errors, Page, Refusal, found, page};
use crate::configuration::{Configuration, FailureHandler, FunctionTrigger, registered};
use crate::state::Shared;
use axum::extract::{Path, State};
use serde::Serialize;
use stepwell_store::{FunctionRecord, Reader, StoreError};
use utoipa::ToSchema;

/// Functions of a page, when nobody says, and at most.
const FUNCTIONS_DEFAULT: usize = 20;
const FUNCTIONS_MAX: usize = 100;

/// A function.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Function {
    /// Its id within its app.
    id: String,
    name: String,
    /// Its public id.
    slug: String,
    is_paused: bool,
    is_archived: bool,
    app: AppReference,
    triggers: Vec<FunctionTrigger>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_handler: Option<FailureHandler>,
    configuration: Configuration,
}

/// The functions of an app.
#[utoipa::path(get, path = "/apps/{app}/functions", tag = "Apps",
    params(
        ("app" = String, Path, description = "The app's name."),
        ("archived" = Option<bool>, Query, description = "Only those that are, or are not."),
        ("cursor" = Option<String>, Query), ("limit" = Option<u32>, Query, minimum = 1, maximum = 100)),
    responses(
        (status = 200, body = Envelope<Vec<Function>>), (status = 400, body = Errors), (status = 404, body = Errors)))]
pub(super) async fn list(
    State(shared): State<Shared>,
    Path(app): Path<String>,
    params: Params,
) -> Answer<Vec<Function>> {
    let archived = params.flag("archived")?.unwrap_or(false);
    let limit = params.limit(FUNCTIONS_DEFAULT, FUNCTIONS_MAX)?;
    let cursor = params.one("cursor").map(str::to_owned);
    let read = shared.handle.read(move |reader| {
        let all = reader.all_functions()?;
        if !all.iter().any(|function| is_app(function, &app))
            && !reader.apps()?.iter().any(|known| known.name == app)
        {
            return Ok(Err(no_app(&app)));
        }
        let wanted = all.iter().filter(|function| {
            let is_after = cursor.as_ref().is_none_or(|cursor| function.slug > *cursor);
            is_app(function, &app) && is_after && function.archived == archived
        });
        let functions: Vec<Function> = wanted
            .take(limit + 1)
            .map(|record| Function::of(record, &all))
            .collect();
        Ok(Ok(functions))
    });
    let mut functions = read.await??;
    let has_more = functions.len() > limit;
    functions.truncate(limit);
    let last = functions.last().map(|function| function.slug.clone());
    let place = Page {
        cursor: last.filter(|_| has_more),
        has_more,
        limit,
    };
    Ok(page(&shared, functions, place))
}

/// A function.
#[utoipa::path(get, path = "/apps/{app}/functions/{function}", tag = "Apps",
    params(
        ("app" = String, Path, description = "The app's name."),
        ("function" = String, Path, description = "The function's id, with or without the app's name.")),
    responses((status = 200, body = Envelope<Function>), (status = 404, body = Errors)))]
pub(super) async fn get(
    State(shared): State<Shared>,
    Path((app, function)): Path<(String, String)>,
) -> Answer<Function> {
    let read = shared.handle.read(move |reader| {
        let Some(record) = find(reader, &app, &function)? else {
            return Ok(Err(no_function(&app, &function)));
        };
        Ok(Ok(Function::of(&record, &reader.functions()?)))
    });
    let function = read.await??;
    Ok(found(&shared, function))
}

/// A function's runs, newest first.
#[utoipa::path(get, path = "/apps/{app}/functions/{function}/runs", tag = "Apps",
    params(
        ("app" = String, Path, description = "The app's name."),
        ("function" = String, Path, description = "The function's id, with or without the app's name."),
        RunListParams),
    responses(
        (status = 200, body = Envelope<Vec<Run>>), (status = 400, body = Errors), (status = 404, body = Errors)))]
pub(super) async fn runs(
    State(shared): State<Shared>,
    Path((app, function)): Path<(String, String)>,
    params: Params,
) -> Answer<Vec<Run>> {
    let wanted = Wanted::of(&params)?;
    let read = shared.handle.read(move |reader| {
        let record = find(reader, &app, &function)?;
        Ok(record.ok_or_else(|| no_function(&app, &function)))
    });
    let record = read.await??;
    wanted.page(&shared, Some(record.id)).await
}

/// The function of an app that goes by this name, rather one that is still registered.
pub(super) fn find(
    reader: &dyn Reader,
    app: &str,
    name: &str,
) -> Result<Option<FunctionRecord>, StoreError> {
    let all = reader.all_functions()?.into_iter();
    let mut named: Vec<FunctionRecord> = all
        .filter(|function| is_app(function, app) && is_named(function, name))
        .collect();
    named.sort_by_key(|function| (function.archived, function.slug != name));
    Ok(named.into_iter().next())
}

pub(super) fn no_function(app: &str, name: &str) -> Refusal {
    Refusal::not_found(format!("the app '{app}' has no function '{name}'"))
}

impl Function {
    fn of(record: &FunctionRecord, others: &[FunctionRecord]) -> Self {
        let config = registered(record);
        Self {
            id: id_in_app(record),
            name: record.name.clone(),
            slug: record.slug.clone(),
            is_paused: record.paused,
            is_archived: record.archived,
            app: AppReference {
                id: record.app_name.clone(),
            },
            triggers: FunctionTrigger::all(&config),
            failure_handler: FailureHandler::of(record, others),
            configuration: Configuration::of(config),
        }
    }
}
