//! What `#[function(...)]` takes.

use super::refuse;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, ExprLit, Ident, Lit, LitStr, Path, Result, Token, Type, parenthesized};

/// Options that are given on to the builder's method of the same name.
const SETTINGS: [&str; 16] = [
    "name",
    "retries",
    "concurrency",
    "run_concurrency",
    "throttle",
    "rate_limit",
    "debounce",
    "batch",
    "idempotency",
    "priority",
    "singleton",
    "cancel_on",
    "timeouts",
    "outside_steps_max",
    "checkpointing",
    "middleware",
];

/// Those of them that may come several times.
const REPEATED: [&str; 3] = ["concurrency", "cancel_on", "middleware"];

/// What starts a function.
pub(super) enum Trigger {
    /// An event or family, perhaps with a condition.
    Type(Box<Type>, Option<LitStr>),
    /// A name or pattern, perhaps with a condition.
    Name(LitStr, Option<LitStr>),
    /// A schedule.
    Cron(Expr),
}

/// Something that is given on to the builder.
pub(super) struct Setting {
    pub(super) method: Ident,
    pub(super) value: Expr,
}

/// What `#[function(...)]` takes.
#[derive(Default)]
pub(crate) struct Options {
    id: Option<LitStr>,
    krate: Option<Path>,
    pub(super) triggers: Vec<Trigger>,
    pub(super) deferred: bool,
    pub(super) settings: Vec<Setting>,
    pub(super) on_failure: Option<Path>,
    pub(super) state: Option<Type>,
}

impl Options {
    /// The id: as given, else the function's name with dashes.
    pub(super) fn id(&self, name: &Ident) -> Result<LitStr> {
        let id = match &self.id {
            Some(id) => id.clone(),
            None => LitStr::new(&name.to_string().replace('_', "-"), name.span()),
        };
        let text = id.value();
        let usable = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if text.is_empty() || !text.chars().all(usable) {
            return refuse(&id, "an id has letters, digits and -_./ only");
        }
        Ok(id)
    }

    pub(super) fn krate(&self) -> Path {
        let given = self.krate.clone();
        given.unwrap_or_else(|| syn::parse_quote!(::stepwell))
    }

    fn read(&mut self, key: &Ident, input: ParseStream<'_>) -> Result<()> {
        let name = key.to_string();
        match &*name {
            "id" => once(key, &mut self.id, value(key, input)?),
            "crate" => once(key, &mut self.krate, value::<LitStr>(key, input)?.parse()?),
            "on" => {
                self.triggers.push(trigger(key, input)?);
                Ok(())
            }
            "cron" => {
                let schedule: Expr = value(key, input)?;
                check_cron(&schedule)?;
                self.triggers.push(Trigger::Cron(schedule));
                Ok(())
            }
            "deferred" if self.deferred => refuse(key, "given twice"),
            "deferred" => {
                self.deferred = true;
                Ok(())
            }
            "state" => once(key, &mut self.state, value(key, input)?),
            "on_failure" => once(key, &mut self.on_failure, value(key, input)?),
            _ if SETTINGS.contains(&&*name) => {
                let known = self.settings.iter().any(|known| known.method == *key);
                if known && !REPEATED.contains(&&*name) {
                    return refuse(key, "given twice");
                }
                let value: Expr = value(key, input)?;
                if name == "retries" {
                    check_retries(&value)?;
                }
                self.settings.push(Setting {
                    method: key.clone(),
                    value,
                });
                Ok(())
            }
            _ => refuse(
                key,
                format!(
                    "unknown option; a function takes id, on, cron, deferred, on_failure, state and crate, and what its builder does: {}",
                    SETTINGS.join(", ")
                ),
            ),
        }
    }
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            // `crate` is a key, too.
            let key = input.call(Ident::parse_any)?;
            options.read(&key, input)?;
            if options.deferred && !options.triggers.is_empty() {
                return refuse(&key, "a deferred function has no other trigger");
            }
            if input.is_empty() {
                break;
            }
            input.parse::<Token![,]>()?;
        }
        Ok(options)
    }
}

/// What comes after `key =`.
fn value<T: Parse>(key: &Ident, input: ParseStream<'_>) -> Result<T> {
    if !input.peek(Token![=]) {
        return refuse(key, format!("write `{key} = ...`"));
    }
    input.parse::<Token![=]>()?;
    input.parse()
}

fn once<T>(key: &Ident, place: &mut Option<T>, value: T) -> Result<()> {
    if place.is_some() {
        return refuse(key, "given twice");
    }
    *place = Some(value);
    Ok(())
}

/// `on = Event`, `on = "name"`, `on(Event, if = "condition")`.
fn trigger(key: &Ident, input: ParseStream<'_>) -> Result<Trigger> {
    if !input.peek(syn::token::Paren) {
        if !input.peek(Token![=]) {
            return refuse(
                key,
                "write `on = OrderPlaced`, or `on(OrderPlaced, if = \"event.data.total > 100\")`",
            );
        }
        input.parse::<Token![=]>()?;
        return source(input);
    }
    let content;
    parenthesized!(content in input);
    let trigger = source(&content)?;
    if content.is_empty() {
        return Ok(trigger);
    }
    content.parse::<Token![,]>()?;
    let hint = |error: Error| Error::new(error.span(), "write `if = \"event.data.total > 100\"`");
    content.parse::<Token![if]>().map_err(hint)?;
    content.parse::<Token![=]>().map_err(hint)?;
    let condition = Some(content.parse::<LitStr>().map_err(hint)?);
    Ok(match trigger {
        Trigger::Type(event, _) => Trigger::Type(event, condition),
        Trigger::Name(name, _) => Trigger::Name(name, condition),
        Trigger::Cron(schedule) => Trigger::Cron(schedule),
    })
}

fn source(input: ParseStream<'_>) -> Result<Trigger> {
    if !input.peek(LitStr) {
        return Ok(Trigger::Type(Box::new(input.parse()?), None));
    }
    let name: LitStr = input.parse()?;
    let text = name.value();
    let stars = text.matches('*').count();
    if text.is_empty() || text.len() > 255 {
        return refuse(&name, "an event's name has 1 to 255 bytes");
    }
    if stars > 1 || (stars == 1 && !text.ends_with("/*") && !text.ends_with(".*")) {
        return refuse(
            &name,
            "this pattern matches nothing: a pattern ends in /* or .* and has no other star",
        );
    }
    Ok(Trigger::Name(name, None))
}

fn check_cron(schedule: &Expr) -> Result<()> {
    let Expr::Lit(ExprLit {
        lit: Lit::Str(text),
        ..
    }) = schedule
    else {
        return Ok(());
    };
    let given = text.value();
    let fields = match given.split_once(' ') {
        Some((zone, rest)) if zone.contains("TZ=") => rest,
        _ => &given,
    };
    match fields.split_whitespace().count() {
        5 => Ok(()),
        count => refuse(
            text,
            format!(
                "a schedule has five fields, this has {count}: minute, hour, day of the month, month, day of the week"
            ),
        ),
    }
}

fn check_retries(retries: &Expr) -> Result<()> {
    if let Expr::Lit(ExprLit {
        lit: Lit::Int(given),
        ..
    }) = retries
        && given.base10_parse::<u64>().is_ok_and(|given| given > 20)
    {
        return refuse(given, "at most 20 retries are made");
    }
    Ok(())
}
