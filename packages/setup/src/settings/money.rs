//! What models cost, and what may be spent: `[prices]` and `[[budgets]]`.

use super::bad;
use crate::Failure;
use std::collections::BTreeMap;
use studio233_db::{Budget, BudgetScope, Period, UsageKind, Workspace, amount, workspace_slug};
use studio233_inngest::functions::SPENDING;
use studio233_inngest::middleware::{Price, Prices};
use toml::Value;

/// As many as anybody writes by hand.
const BUDGETS_MAX: usize = 200;
const CURRENCY_CHARS_MAX: usize = 10;

const CURRENCY: &str = "currency";
const PRICE_KEYS: [&str; 4] = [
    "million_input_tokens",
    "million_output_tokens",
    "image",
    "second",
];
const BUDGET_KEYS: [&str; 5] = ["workspace", "function", "unit", "amount", "period"];

/// What things cost, and what may be spent.
#[derive(Debug, Clone, Default)]
pub struct Money {
    /// What models cost, and in what.
    pub prices: Prices,
    /// Budgets that are set when a program starts.
    pub budgets: Vec<FileBudget>,
}

/// A budget of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileBudget {
    /// Whose it is.
    pub owner: BudgetOwner,
    /// What it limits.
    pub kind: UsageKind,
    /// How often it is full again.
    pub period: Period,
    /// In the unit of its kind.
    pub limit: u64,
}

impl FileBudget {
    /// Whether it limits this workspace, as [`Database::workspace_named`](studio233_db::Database::workspace_named) finds it.
    #[must_use]
    pub fn is_of(&self, workspace: &Workspace) -> bool {
        let names = [workspace.id.as_str(), &workspace.name];
        match &self.owner {
            BudgetOwner::Workspace(name) => {
                names.contains(&name.as_str()) || workspace_slug(name) == workspace.slug
            }
            BudgetOwner::Function(_) => false,
        }
    }

    /// The budget of whoever it is for.
    #[must_use]
    pub fn budget(&self, scope: BudgetScope) -> Budget {
        Budget {
            scope,
            kind: self.kind,
            period: self.period,
            limit: self.limit,
        }
    }

    /// Whether it is of this kind and period.
    #[must_use]
    pub fn limits(&self, kind: UsageKind, period: Period) -> bool {
        (self.kind, self.period) == (kind, period)
    }
}

/// Whose budget it is, as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetOwner {
    /// A workspace's: its id, or its name in any spelling.
    Workspace(String),
    /// A function's: its id.
    Function(String),
}

impl BudgetOwner {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Workspace(one), Self::Workspace(other)) => {
                workspace_slug(one) == workspace_slug(other)
            }
            (one, other) => one == other,
        }
    }
}

type Table = BTreeMap<String, Value>;

pub(super) fn read(prices: &Table, budgets: &[Table]) -> Result<Money, Failure> {
    let mut money = Money::default();
    for (name, value) in prices {
        if name == CURRENCY {
            money.prices = money.prices.in_currency(currency(value)?);
            continue;
        }
        let place = format!("[prices.{name:?}]");
        let Value::Table(table) = value else {
            return Err(bad(format!("[prices] {name} is no model's table"))
                .hint(format!("write {place} above the prices of that model")));
        };
        money.prices = money.prices.with(name, price(&place, table)?);
    }
    if budgets.len() > BUDGETS_MAX {
        let count = budgets.len();
        return Err(bad(format!(
            "there are {count} [[budgets]]; at most {BUDGETS_MAX} can be"
        )));
    }
    for (number, table) in (1..).zip(budgets) {
        let budget = budget(&format!("[[budgets]] number {number}"), table)?;
        let is_same = |other: &FileBudget| {
            other.limits(budget.kind, budget.period) && other.owner.is_same(&budget.owner)
        };
        if money.budgets.iter().any(is_same) {
            return Err(bad(format!(
                "[[budgets]] number {number} is for the same as one before it"
            )));
        }
        money.budgets.push(budget);
    }
    Ok(money)
}

fn currency(value: &Value) -> Result<String, Failure> {
    let text = value.as_str().unwrap_or_default().trim();
    let chars = text.chars().count();
    if (1..=CURRENCY_CHARS_MAX).contains(&chars) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(bad("[prices] currency is no name of a currency".to_owned())
        .hint("write it as you want it shown: currency = \"EUR\""))
}

fn price(place: &str, table: &toml::Table) -> Result<Price, Failure> {
    known(place, table.keys(), &PRICE_KEYS)?;
    let get = |key: &str| match table.get(key) {
        Some(value) => number(place, key, UsageKind::Currency, value),
        None => Ok(0),
    };
    Ok(Price {
        million_input_tokens: get("million_input_tokens")?,
        million_output_tokens: get("million_output_tokens")?,
        image: get("image")?,
        second: get("second")?,
    })
}

fn budget(place: &str, table: &Table) -> Result<FileBudget, Failure> {
    known(place, table.keys(), &BUDGET_KEYS)?;
    let text = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.trim().to_owned())),
        Some(_) => Err(bad(format!("{place}: {key} is no text"))),
    };
    let missing = |key: &str, hint: String| bad(format!("{place} has no {key}")).hint(hint);
    let owner = match (text("workspace")?, text("function")?) {
        (Some(workspace), None) => BudgetOwner::Workspace(workspace),
        (None, Some(function)) if SPENDING.contains(&function.as_str()) => {
            BudgetOwner::Function(function)
        }
        (None, Some(function)) => {
            return Err(bad(format!(
                "{place}: {function:?} is no function that spends something"
            ))
            .hint(format!("they are {}", SPENDING.join(", "))));
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(
                bad(format!("{place} is not for one workspace or one function"))
                    .hint("give it either workspace = \"NAME\" or function = \"ID\""),
            );
        }
    };
    let units = || names(UsageKind::ALL.map(UsageKind::as_str));
    let unit = text("unit")?.ok_or_else(|| missing("unit", units()))?;
    let kind = UsageKind::parse(&unit)
        .map_err(|_| bad(format!("{place}: unit is {unit:?}")).hint(units()))?;
    let periods = || names(Period::ALL.map(Period::as_str));
    let period = text("period")?.ok_or_else(|| missing("period", periods()))?;
    let period = Period::parse(&period)
        .map_err(|_| bad(format!("{place}: period is {period:?}")).hint(periods()))?;
    let amount = table
        .get("amount")
        .ok_or_else(|| missing("amount", "amount = 0 lets nothing be spent".to_owned()))?;
    Ok(FileBudget {
        owner,
        kind,
        period,
        limit: number(place, "amount", kind, amount)?,
    })
}

fn names<const N: usize>(names: [&str; N]) -> String {
    format!("it is one of {}", names.join(", "))
}

fn known<'k>(
    place: &str,
    keys: impl Iterator<Item = &'k String>,
    known: &[&str],
) -> Result<(), Failure> {
    for key in keys {
        if !known.contains(&key.as_str()) {
            return Err(bad(format!("{place} has an unknown key `{key}`"))
                .hint(format!("the keys are {}", known.join(", "))));
        }
    }
    Ok(())
}

/// Numbers are read as they are written, and never through a float's rounding.
fn number(place: &str, key: &str, kind: UsageKind, value: &Value) -> Result<u64, Failure> {
    let text = match value {
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return Err(bad(format!("{place}: {key} is no number"))),
    };
    amount::parse(kind, &text).map_err(|told| bad(format!("{place}: {key}: {told}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use studio233_ai::Usage;

    fn parsed(text: &str) -> Result<Money, Failure> {
        #[derive(serde::Deserialize, Default)]
        #[serde(default)]
        struct Tables {
            prices: Table,
            budgets: Vec<Table>,
        }
        let tables: Tables = toml::from_str(text).unwrap();
        read(&tables.prices, &tables.budgets)
    }

    #[test]
    fn prices_and_budgets_are_as_they_are_written() {
        let money = parsed(
            r#"
            [prices]
            currency = "EUR"
            [prices."gemini-3-flash"]
            million_input_tokens = 0.3
            million_output_tokens = "2.50"
            image = 1
            [[budgets]]
            workspace = "Solvane"
            unit = "currency"
            amount = 5.25
            period = "month"
            [[budgets]]
            function = "brand-ingestion"
            unit = "tokens"
            amount = 2000000
            period = "day"
            "#,
        )
        .unwrap();
        assert_eq!(money.prices.currency(), Some("EUR"));
        let usage = Usage {
            model: "gemini-3-flash".to_owned(),
            input_tokens: 1_000_000,
            output_tokens: 1_000_000,
            images: 1,
            ..Usage::default()
        };
        assert_eq!(money.prices.cost(&usage), 300_000 + 2_500_000 + 1_000_000);
        assert_eq!(
            money.budgets,
            [
                FileBudget {
                    owner: BudgetOwner::Workspace("Solvane".to_owned()),
                    kind: UsageKind::Currency,
                    period: Period::Month,
                    limit: 5_250_000,
                },
                FileBudget {
                    owner: BudgetOwner::Function("brand-ingestion".to_owned()),
                    kind: UsageKind::Tokens,
                    period: Period::Day,
                    limit: 2_000_000,
                },
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_key() {
        let budget = |lines: &str| format!("[[budgets]]\n{lines}\n");
        let rest = "unit = \"tokens\"\namount = 1\nperiod = \"day\"";
        for (text, told) in [
            (
                "[prices]\ncurrency = 3".to_owned(),
                "[prices] currency is no name of a currency",
            ),
            (
                "[prices]\nflash = 3".to_owned(),
                "[prices] flash is no model's table",
            ),
            (
                "[prices.flash]\ninput = 3".to_owned(),
                "[prices.\"flash\"] has an unknown key `input`",
            ),
            (
                "[prices.flash]\nimage = -1".to_owned(),
                "[prices.\"flash\"]: image: \"-1\" is no number",
            ),
            (
                "[prices.flash]\nimage = true".to_owned(),
                "[prices.\"flash\"]: image is no number",
            ),
            (
                budget(rest),
                "[[budgets]] number 1 is not for one workspace or one function",
            ),
            (
                budget(&format!("function = \"brand\"\n{rest}")),
                "[[budgets]] number 1: \"brand\" is no function that spends something",
            ),
            (
                budget("workspace = \"w\"\nunit = \"coins\""),
                "[[budgets]] number 1: unit is \"coins\"",
            ),
            (
                budget("workspace = \"w\"\nunit = \"images\"\nperiod = \"year\""),
                "[[budgets]] number 1: period is \"year\"",
            ),
            (
                budget("workspace = \"w\"\nunit = \"images\"\nperiod = \"day\""),
                "[[budgets]] number 1 has no amount",
            ),
            (
                budget(&format!("workspace = \"w\"\n{rest}")).repeat(2),
                "[[budgets]] number 2 is for the same as one before it",
            ),
            (
                ["Solvane", "solvane!"]
                    .map(|name| budget(&format!("workspace = \"{name}\"\n{rest}")))
                    .concat(),
                "[[budgets]] number 2 is for the same as one before it",
            ),
        ] {
            let failure = parsed(&text).unwrap_err();
            assert!(failure.message.starts_with(told), "{}", failure.message);
            assert_eq!(failure.code, "configuration");
        }
    }
}
