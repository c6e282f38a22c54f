//! Why a run is held, and how it waits.

use crate::events::budget::BudgetChanged;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use stepwell::{Moment, Step, StepError};
use studio233_db::{BudgetScope, Period, Standing, UsageKind, amount};

/// A held run looks again after this long at the latest. So it goes on, too, when it was never told that it may: a
/// producer that crashed between changing a budget and saying so, a server that does not look back.
pub const HELD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A change counts that came this long before a run began to wait for one: it looked at the budgets before that.
const LOOK_BACK: Duration = Duration::from_secs(10 * 60);

/// Changes that a run remembers to have looked at. After so many it waits for new ones only.
const CHANGES_SEEN_MAX: usize = 16;

/// Why a run is held: what the step that looked records and notes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// The budgets that are used up.
    pub budgets: Vec<UsedUp>,
    /// When it was looked, in Unix milliseconds.
    pub looked_at_ms: i64,
}

/// All budgets, one after another.
impl fmt::Display for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, budget) in self.budgets.iter().enumerate() {
            let before = if number == 0 { "" } else { "; " };
            write!(formatter, "{before}{budget}")?;
        }
        Ok(())
    }
}

/// A budget that is used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsedUp {
    /// Whose it is.
    #[serde(flatten)]
    pub scope: BudgetScope,
    /// What it limits.
    pub kind: UsageKind,
    /// How often it is full again.
    pub period: Period,
    /// How much it is; of a workspace's only, for what all workspaces together use is none of each one's business.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub amounts: Option<Amounts>,
    /// When the period turns, RFC 3339; none if it never does.
    pub until: Option<String>,
    /// The same in Unix milliseconds.
    pub until_ms: Option<i64>,
}

/// How much of a budget was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// What may be used in a period, in the unit of its kind.
    pub limit: u64,
    /// What was used in this one.
    pub used: u64,
    /// What money is in, if anybody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

impl UsedUp {
    pub(super) fn of(standing: Standing, currency: Option<&str>) -> Self {
        let (budget, until_ms) = (standing.budget, standing.resets_at_ms);
        let currency = currency.filter(|_| budget.kind == UsageKind::Currency);
        let amounts = Amounts {
            limit: budget.limit,
            used: standing.used,
            currency: currency.map(str::to_owned),
        };
        Self {
            amounts: matches!(budget.scope, BudgetScope::Workspace(_)).then_some(amounts),
            scope: budget.scope,
            kind: budget.kind,
            period: budget.period,
            until: until_ms.map(|ms| Moment::from_unix_ms(ms).to_string()),
            until_ms,
        }
    }
}

/// `the workspace w has used 1.5 of 1 EUR, until 2026-02-01T00:00:00.000Z`
impl fmt::Display for UsedUp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            BudgetScope::Workspace(id) => write!(formatter, "the workspace {id}")?,
            BudgetScope::Function(id) => write!(formatter, "the function {id}")?,
        }
        let kind = self.kind;
        match (&self.amounts, kind) {
            (Some(amounts), _) => {
                let shown = |number| amount::shown(kind, number);
                let (used, limit) = (shown(amounts.used), shown(amounts.limit));
                let unit = amount::unit(kind, amounts.currency.as_deref());
                write!(formatter, " has used {used} of {limit} {unit}")?;
            }
            (None, UsageKind::Currency) => write!(formatter, " has used up its money")?,
            (None, kind) => write!(formatter, " has used up its {}", kind.as_str())?,
        }
        match &self.until {
            Some(until) => write!(formatter, ", until {until}"),
            None => write!(formatter, ", until it is raised"),
        }
    }
}

/// What a run does while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::middleware) enum Beside {
    /// Nothing else.
    Nothing,
    /// Other branches, which need not wait for this one.
    Others,
}

/// How a run waits for what holds it, as often as it is held at one place.
pub(in crate::middleware) struct Holding {
    step: Step,
    id: String,
    beside: Beside,
    seen: Vec<String>,
}

impl Holding {
    /// `id` is the waiting step's.
    pub(in crate::middleware) fn new(step: Step, id: impl Into<String>, beside: Beside) -> Self {
        Self {
            step,
            id: id.into(),
            beside,
            seen: Vec::new(),
        }
    }

    /// Waits until the period turns, or somebody changes a budget.
    pub(in crate::middleware) async fn hold(&mut self, held: &Held) -> Result<(), StepError> {
        let mut wait = self
            .step
            .wait_for_event::<BudgetChanged>(&self.id)
            .named(format!("held: {held}"))
            .when(change_of(held, &self.seen))
            .timeout(held_for(held));
        // One that looks back must not be ended by what was looked at before, and can name only so much of it.
        if self.seen.len() < CHANGES_SEEN_MAX {
            wait = wait.look_back(LOOK_BACK);
        }
        if self.beside == Beside::Others {
            wait = wait.in_race();
        }
        if let Some(change) = wait.await?
            && self.seen.len() < CHANGES_SEEN_MAX
        {
            self.seen.push(change.id);
        }
        Ok(())
    }
}

/// Until the last of the budgets is full again.
pub(super) fn held_for(held: &Held) -> Duration {
    let wait_ms = held.budgets.iter().map(|budget| match budget.until_ms {
        Some(until_ms) => until_ms - held.looked_at_ms,
        None => i64::MAX,
    });
    let wait_ms = u64::try_from(wait_ms.max().unwrap_or_default()).unwrap_or_default();
    // A wait of no time would make a round of it.
    Duration::from_millis(wait_ms.max(1)).min(HELD_MAX)
}

/// The condition for a change of one of the budgets that was not looked at before.
pub(super) fn change_of(held: &Held, seen: &[String]) -> String {
    let budgets = held.budgets.iter().map(|budget| {
        let (field, id) = match &budget.scope {
            BudgetScope::Workspace(id) => ("workspaceId", id.as_str()),
            BudgetScope::Function(id) => ("functionId", id.as_str()),
        };
        let kind = text(budget.kind.as_str());
        format!(
            "async.data.{field} == {} && async.data.kind == {kind}",
            text(id)
        )
    });
    let any = budgets.map(|one| format!("({one})")).collect::<Vec<_>>();
    let others = seen
        .iter()
        .map(|id| format!(" && async.id != {}", text(id)));
    format!("({}){}", any.join(" || "), others.collect::<String>())
}

/// A text as expressions write it, which is as JSON does.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
