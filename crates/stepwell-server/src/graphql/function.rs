//! Functions.

use super::app::{App, find};
use super::asked::Asked;
use super::scalar::Uuid;
use super::unreadable;
use crate::configuration::{Configuration, FailureHandler, registered};
use async_graphql::{Context, Enum, InputObject, Object, Result, SimpleObject};
use std::sync::Arc;
use stepwell_protocol::FunctionId;
use stepwell_store::FunctionRecord;

/// A function.
#[derive(Clone)]
pub(super) struct Function(pub(super) Arc<FunctionRecord>);

/// What starts a function.
#[derive(SimpleObject)]
struct FunctionTrigger {
    r#type: FunctionTriggerTypes,
    /// The event's name, or the schedule.
    value: String,
    /// Which of the events.
    condition: Option<String>,
}

/// What kind of thing starts a function.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
enum FunctionTriggerTypes {
    Event,
    Cron,
}

/// A function by its public id.
#[derive(InputObject)]
pub(super) struct FunctionQuery {
    pub(super) function_slug: String,
}

#[Object]
impl Function {
    async fn id(&self) -> Uuid {
        Uuid(self.0.id.0)
    }

    async fn name(&self) -> &str {
        &self.0.name
    }

    async fn slug(&self) -> &str {
        &self.0.slug
    }

    /// As it was registered, in JSON.
    async fn config(&self) -> &str {
        &self.0.config
    }

    async fn configuration(&self) -> Configuration {
        Configuration::of(registered(&self.0))
    }

    /// The least of its limits on what is called at once; 0 without one.
    async fn concurrency(&self) -> u32 {
        let concurrency = registered(&self.0).concurrency;
        let limits = concurrency.runs.iter().chain(&concurrency.steps);
        let limits = limits.map(|limit| limit.limit);
        limits.filter(|limit| *limit > 0).min().unwrap_or(0)
    }

    async fn triggers(&self) -> Vec<FunctionTrigger> {
        let triggers = registered(&self.0).triggers.into_iter();
        let shown = triggers.filter_map(|trigger| {
            let (kind, value) = match (trigger.event, trigger.cron) {
                (Some(event), _) => (FunctionTriggerTypes::Event, event),
                (None, cron) => (FunctionTriggerTypes::Cron, cron?),
            };
            Some(FunctionTrigger {
                r#type: kind,
                value,
                condition: trigger.expression,
            })
        });
        shown.collect()
    }

    /// Where it is called.
    async fn url(&self) -> String {
        let steps = registered(&self.0).steps.into_values();
        let mut urls = steps.map(|step| step.runtime.url);
        urls.next().unwrap_or_default()
    }

    #[graphql(name = "appID")]
    async fn app_id(&self) -> Uuid {
        Uuid(self.0.app.0)
    }

    async fn is_paused(&self) -> bool {
        self.0.paused
    }

    async fn is_archived(&self) -> bool {
        self.0.archived
    }

    #[graphql(complexity = "super::cost(1, 1, child_complexity)")]
    async fn app(&self, context: &Context<'_>) -> Result<Option<App>> {
        let id = self.0.app;
        let read = context
            .data::<Asked>()?
            .read(move |reader| find(reader, id));
        Ok(read.await.map_err(unreadable)?.map(App::of))
    }

    #[graphql(complexity = "super::cost(1, 1, child_complexity)")]
    async fn failure_handler(&self, context: &Context<'_>) -> Result<Option<FailureHandler>> {
        let asked = context.data::<Asked>()?;
        let others = asked.read(|reader| reader.functions()).await;
        Ok(FailureHandler::of(&self.0, &others.map_err(unreadable)?))
    }
}

/// A function, also one that is no longer registered.
pub(super) async fn by_id(asked: &Asked, id: FunctionId) -> Result<Option<Function>> {
    let read = asked.read(move |reader| reader.function(id)).await;
    let record = read.map_err(unreadable)?;
    Ok(record.map(|record| Function(Arc::new(record))))
}
