//! Lists of runs: what their queries say, and their pages.

use super::super::query::{Malformed, Params};
use super::run_row::{Names, Run, Status};
use super::{Envelope, Page, Refusal, page};
use crate::state::Shared;
use axum::Json;
use stepwell_protocol::FunctionId;
use stepwell_store::{FunctionRecord, Reader, RunFilter, RunPlace, RunQuery, RunTime};
use utoipa::IntoParams;

/// Runs of a page, when nobody says.
const RUNS_DEFAULT: usize = 20;
/// Runs of a page at most.
const RUNS_MAX: usize = 100;
/// Rows that are looked at for a page: a few milliseconds' worth.
const ROWS_MAX: usize = 5_000;
/// Bytes of outputs in a page, beyond those of its first run.
const OUTPUT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Which runs, and how.
#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what Params reads")]
pub(super) struct RunListParams {
    /// Whether to give what they returned.
    include_output: Option<bool>,
    /// What an earlier page of the same list ended with.
    cursor: Option<String>,
    /// The most runs of a page; a page may have fewer though there are more.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// From then on.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Before then.
    #[param(format = DateTime)]
    until: Option<String>,
    /// The moment that lies in between, and by which they are ordered.
    #[param(inline)]
    time_field: Option<TimeField>,
    /// Where they stand.
    #[param(inline)]
    status: Option<Vec<Status>>,
    /// Names of apps.
    app_id: Option<Vec<String>>,
    /// Functions: their public ids, or those within their apps.
    function_id: Option<Vec<String>>,
    /// Whether another run deferred them.
    is_deferred: Option<bool>,
    /// The newest come first, unless it is `ASC`.
    #[param(inline)]
    order: Option<Order>,
}

#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what Params reads")]
enum TimeField {
    #[serde(rename = "queuedAt")]
    Queued,
    #[serde(rename = "startedAt")]
    Started,
    #[serde(rename = "endedAt")]
    Ended,
}

#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what Params reads")]
#[serde(rename_all = "UPPERCASE")]
enum Order {
    Asc,
    Desc,
}

/// What a query wants, but for functions, whose names only the store knows.
#[derive(Debug)]
pub(super) struct Wanted {
    query: RunQuery,
    apps: Vec<String>,
    functions: Vec<String>,
}

impl Wanted {
    pub(super) fn of(params: &Params) -> Result<Self, Malformed> {
        let time = match params.one("timeField") {
            None => RunTime::Queued,
            Some(field) => time_field(field).ok_or(Malformed {
                name: "timeField",
                expected: "queuedAt, startedAt or endedAt",
            })?,
        };
        let statuses = params.many("status").map(Status::parse);
        let statuses: Option<Vec<_>> = statuses.collect();
        let oldest_first = match params.one("order") {
            None => false,
            Some(order) if order.eq_ignore_ascii_case("desc") => false,
            Some(order) if order.eq_ignore_ascii_case("asc") => true,
            Some(_) => {
                return Err(Malformed {
                    name: "order",
                    expected: "ASC or DESC",
                });
            }
        };
        let after = params.parsed("cursor", "what an earlier page of the same list ended with")?;
        Ok(Self {
            query: RunQuery {
                filter: RunFilter {
                    functions: None,
                    statuses: statuses.ok_or(Malformed {
                        name: "status",
                        expected: "QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED or SKIPPED",
                    })?,
                    deferred: params.flag("isDeferred")?,
                    time,
                    from: params.moment("from")?,
                    until: params.moment("until")?,
                },
                order: time,
                oldest_first,
                after,
                limit: params.limit(RUNS_DEFAULT, RUNS_MAX)?,
                rows_max: ROWS_MAX,
                output_bytes_max: output_bytes(params)?,
            },
            apps: params.many("appId").map(str::to_owned).collect(),
            functions: params.many("functionId").map(str::to_owned).collect(),
        })
    }

    /// The page that is wanted, of one function's runs if one is given.
    pub(super) async fn page(
        self,
        shared: &Shared,
        function: Option<FunctionId>,
    ) -> Result<Json<Envelope<Vec<Run>>>, Refusal> {
        let Self {
            mut query,
            apps,
            functions,
        } = self;
        let limit = query.limit;
        let (runs, next) = shared
            .handle
            .read(move |reader| {
                query.filter.functions = match function {
                    Some(function) => Some(vec![function]),
                    None if apps.is_empty() && functions.is_empty() => None,
                    None => Some(functions_named(reader, &apps, &functions)?),
                };
                let page = reader.find_runs(&query)?;
                let names = Names::read(reader, &page.runs)?;
                let rows: Vec<Run> = page.runs.iter().map(|run| Run::of(run, &names)).collect();
                Ok((rows, page.next))
            })
            .await?;
        Ok(page(shared, runs, place(next, limit)))
    }
}

/// How many bytes of outputs, if outputs are asked for.
pub(super) fn output_bytes(params: &Params) -> Result<Option<usize>, Malformed> {
    let wanted = params.flag("includeOutput")?.unwrap_or(false);
    Ok(wanted.then_some(OUTPUT_BYTES_MAX))
}

fn place(next: Option<RunPlace>, limit: usize) -> Page {
    Page {
        has_more: next.is_some(),
        cursor: next.map(|next| next.to_string()),
        limit,
    }
}

fn time_field(text: &str) -> Option<RunTime> {
    Some(match text.to_ascii_lowercase().replace('_', "").as_str() {
        "queuedat" => RunTime::Queued,
        "startedat" => RunTime::Started,
        "endedat" => RunTime::Ended,
        _ => return None,
    })
}

/// The functions of these apps that go by one of these names; of any app, or by any name, when there are none.
fn functions_named(
    reader: &dyn Reader,
    apps: &[String],
    names: &[String],
) -> Result<Vec<FunctionId>, stepwell_store::StoreError> {
    let all = reader.all_functions()?.into_iter();
    let wanted = all.filter(|function| {
        let by_app = apps.is_empty() || apps.iter().any(|app| is_app(function, app));
        by_app && (names.is_empty() || names.iter().any(|name| is_named(function, name)))
    });
    Ok(wanted.map(|function| function.id).collect())
}

/// Whether a function is of an app that goes by this name or id.
pub(super) fn is_app(function: &FunctionRecord, app: &str) -> bool {
    function.app_name == app || function.app.to_string() == app
}

/// Whether a function goes by this name: its public id, that within its app, or its internal one.
pub(super) fn is_named(function: &FunctionRecord, name: &str) -> bool {
    function.slug == name
        || super::run_row::id_in_app(function) == name
        || function.id.to_string() == name
}
