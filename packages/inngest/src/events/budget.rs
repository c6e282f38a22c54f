//! What changes how much may be spent.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stepwell::Event;

/// `studio/budget.changed`: a budget was set, raised, lowered or removed. Runs that it holds look again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Validate, Event)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
#[event(name = "studio/budget.changed")]
pub struct BudgetChanged {
    /// The workspace, if it is a workspace's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(custom(belongs_to_one(&self.function_id)))]
    pub workspace_id: Option<String>,
    /// The function, if it is a function's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function_id: Option<String>,
    /// What it limits.
    pub kind: Kind,
    /// How often it is full again.
    pub period: Period,
    /// How much may be used in a period, in the unit of its kind; none when there is no budget any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// What a budget limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Tokens of models, in and out.
    Tokens,
    /// Images made.
    Images,
    /// Time of paid services, in milliseconds.
    Seconds,
    /// Money, in millionths of the currency that the studio pays in.
    Currency,
}

/// How often a budget is full again; by UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// Each hour.
    Hour,
    /// Each day.
    Day,
    /// Each Monday.
    Week,
    /// On the first of each month.
    Month,
    /// Never.
    Ever,
}

fn belongs_to_one(
    function_id: &Option<String>,
) -> impl FnOnce(&Option<String>, &()) -> garde::Result + '_ {
    move |workspace_id, _| match workspace_id.is_some() == function_id.is_some() {
        true => Err(garde::Error::new(
            "a budget is a workspace's or a function's",
        )),
        false => Ok(()),
    }
}
