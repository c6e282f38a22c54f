//! Settings: what the command line does not say comes from the environment, then from a configuration file, then from
//! the default.
//!
//! There is one list of them: the options that name an environment variable. The variable's name in lower case, with
//! dashes and without its `STEPWELL_`, is the option's name and the file's key; `INNGEST_` in place of `STEPWELL_` is read as well.
//! Values from everywhere pass the same checks, and an error says where the value is.

mod file;
mod foreign;
mod locate;

use self::file::{Entry, Value};
use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const OURS: &str = "STEPWELL_";
const THEIRS: &str = "INNGEST_";
/// Settings that SDKs or the original server know by another name, as a key or behind `INNGEST_`.
const SYNONYMS: &[(&str, &str)] = &[("max-calls", "queue-workers"), ("url", "base-url")];
/// The option that says where the file is, so that the file cannot.
const CONFIG: &str = "config";

/// Where settings come from beside the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// Variables of the environment.
    pub(crate) variables: BTreeMap<String, String>,
    /// The folder from which files are looked for, upwards.
    pub(crate) folder: PathBuf,
    /// The user's folder.
    pub(crate) home: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        // What is not text cannot be a setting.
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
            folder: std::env::current_dir().unwrap_or_default(),
            home: std::env::home_dir(),
        }
    }

    /// A variable that is set to something.
    fn variable(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?;
        (!value.is_empty()).then_some(value)
    }
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The command line is wrong, or asks for help.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// Values from elsewhere are; one line each.
    #[error("{}", .0.join("\n"))]
    Values(Vec<String>),
}

/// A whole command line.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) matches: ArgMatches,
    /// The configuration file that was read.
    pub(crate) file: Option<PathBuf>,
}

/// The command as people see it: options say in their help which variable sets them, and clap itself reads none.
pub(crate) fn presentable(command: Command) -> Command {
    command
        .mut_args(|arg| {
            let Some(variable) = variable_of(&arg) else {
                return arg;
            };
            let note = |help: String| format!("{help} [{variable}]");
            let help = arg.get_help().map(|help| note(help.to_string()));
            let long_help = arg.get_long_help().map(|help| note(help.to_string()));
            let arg = arg.env(Resettable::<clap::builder::OsStr>::Reset);
            let arg = match help {
                Some(help) => arg.help(help),
                None => arg,
            };
            match long_help {
                Some(help) => arg.long_help(help),
                None => arg,
            }
        })
        .mut_subcommands(presentable)
}

/// Parses a command line and adds what it leaves to its surroundings.
pub(crate) fn resolve(
    command: &Command,
    arguments: &[OsString],
    surroundings: &Surroundings,
) -> Result<Resolved, SettingsError> {
    let known = known_settings(command);
    let presentable = presentable(command.clone());
    let given = presentable.clone().try_get_matches_from(arguments)?;
    let mut errors = Vec::new();
    let file = match locate::find(config_given(&given, surroundings).as_deref(), surroundings) {
        Ok(file) => file,
        Err(error) => return Err(SettingsError::Values(vec![error])),
    };
    let entries = match &file {
        Some(path) => file::read(path).map_err(|error| SettingsError::Values(vec![error]))?,
        None => Vec::new(),
    };
    if let Some(path) = &file {
        check_keys(path, &entries, &known, &mut errors);
    }
    let leaf = leaf(&given);
    foreign::check_variables(leaf.name, surroundings, &mut errors);
    let sources = Sources {
        surroundings,
        file: file.as_deref(),
        entries: &entries,
    };
    let completed = sources.complete(presentable, command, &given, &leaf, &mut errors);
    if !errors.is_empty() {
        return Err(SettingsError::Values(errors));
    }
    let matches = completed.try_get_matches_from(arguments)?;
    Ok(Resolved { matches, file })
}

/// The command at the end of the line: its name, and what was given to it.
struct Leaf<'a> {
    name: &'a str,
    matches: &'a ArgMatches,
}

fn leaf(matches: &ArgMatches) -> Leaf<'_> {
    let mut leaf = Leaf { name: "", matches };
    while let Some((name, matches)) = leaf.matches.subcommand() {
        leaf = Leaf { name, matches };
    }
    leaf
}

fn config_given(given: &ArgMatches, surroundings: &Surroundings) -> Option<PathBuf> {
    let leaf = leaf(given);
    if let Ok(Some(path)) = leaf.matches.try_get_one::<PathBuf>(CONFIG) {
        return Some(path.clone());
    }
    ["STEPWELL_CONFIG", "INNGEST_CONFIG"]
        .iter()
        .find_map(|name| surroundings.variable(name))
        .map(PathBuf::from)
}

fn variable_of(arg: &Arg) -> Option<String> {
    Some(arg.get_env()?.to_str()?.to_owned())
}

/// The keys that a file may have: the settings of all commands, so that all may share a file.
fn known_settings(command: &Command) -> Vec<String> {
    let own = command
        .get_arguments()
        .filter(|arg| variable_of(arg).is_some() && arg.get_id() != CONFIG)
        .filter_map(|arg| arg.get_long().map(str::to_owned));
    let of_subcommands = command.get_subcommands().flat_map(known_settings);
    let mut known: Vec<String> = own.chain(of_subcommands).collect();
    known.sort_unstable();
    known.dedup();
    known
}

fn check_keys(path: &Path, entries: &[Entry], known: &[String], errors: &mut Vec<String>) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for Entry { key, line, .. } in entries {
        let place = format!("{}:{line}", path.display());
        if let Some(first) = seen.insert(key, *line) {
            errors.push(format!(
                "{place}: '{key}' is there twice, first in line {first}"
            ));
        } else if known.iter().any(|known| known == key)
            || SYNONYMS.iter().any(|(_, synonym)| synonym == key)
        {
            // It is checked where it is used.
        } else if let Some(refusal) = foreign::refusal(key) {
            errors.push(format!("{place}: '{key}' {refusal}"));
        } else if !foreign::is_ignored(key) {
            let hint = match nearest(key, known) {
                Some(nearest) => format!("; did you mean '{nearest}'?"),
                None => "; `stepwell <command> --help` lists what there is".to_owned(),
            };
            errors.push(format!("{place}: unknown key '{key}'{hint}"));
        }
    }
}

/// The known key that is most like what was written, if one is like it at all.
fn nearest<'a>(key: &str, known: &'a [String]) -> Option<&'a str> {
    let written = key.to_ascii_lowercase().replace('_', "-");
    let likeness = |known: &String| strsim::jaro_winkler(&written, known);
    let best = known
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.8).then_some(best)
}

struct Sources<'a> {
    surroundings: &'a Surroundings,
    file: Option<&'a Path>,
    entries: &'a [Entry],
}

impl Sources<'_> {
    /// Gives the options of the commands on the line that it does not set what is found elsewhere, as their defaults.
    fn complete(
        &self,
        presentable: Command,
        declared: &Command,
        given: &ArgMatches,
        leaf: &Leaf<'_>,
        errors: &mut Vec<String>,
    ) -> Command {
        let mut completed = presentable;
        for arg in declared.get_arguments() {
            // Options of the whole line may stand anywhere on it.
            let at = if arg.is_global_set() {
                leaf.matches
            } else {
                given
            };
            let id = arg.get_id().as_str();
            if id == CONFIG || at.value_source(id) == Some(ValueSource::CommandLine) {
                continue;
            }
            match self.find(arg) {
                Ok(None) => {}
                Ok(Some(values)) => {
                    completed = completed.mut_arg(id, |arg| arg.default_values(values));
                }
                Err(error) => errors.push(error),
            }
        }
        if let Some((name, given)) = given.subcommand()
            && let Some(declared) = declared.find_subcommand(name)
        {
            completed = completed.mut_subcommand(name, |subcommand| {
                self.complete(subcommand, declared, given, leaf, errors)
            });
        }
        completed
    }

    /// The checked values of a setting from the environment or the file.
    fn find(&self, arg: &Arg) -> Result<Option<Vec<String>>, String> {
        let (Some(variable), Some(name)) = (variable_of(arg), arg.get_long()) else {
            return Ok(None);
        };
        let theirs = variable
            .strip_prefix(OURS)
            .map(|rest| format!("{THEIRS}{rest}"));
        let synonym = SYNONYMS.iter().find(|(known, _)| *known == name);
        let synonym = synonym.map(|(_, synonym)| *synonym);
        let other = synonym.map(|synonym| format!("{THEIRS}{}", screaming(synonym)));
        for variable in std::iter::once(variable).chain(theirs).chain(other) {
            if let Some(value) = self.surroundings.variable(&variable) {
                return check(arg, vec![value.to_owned()])
                    .map(Some)
                    .map_err(|error| format!("{variable}: {error}"));
            }
        }
        let is_meant = |entry: &&Entry| entry.key == name || Some(entry.key.as_str()) == synonym;
        let Some(entry) = self.entries.iter().find(is_meant) else {
            return Ok(None);
        };
        let values = match &entry.value {
            Value::Nothing => return Ok(None),
            Value::One(value) => Ok(vec![value.clone()]),
            Value::Many(_) if !takes_many(arg) => Err("takes one value, not a list".to_owned()),
            Value::Many(values) => Ok(values.clone()),
            Value::Nested => Err("takes a value, not keys of its own".to_owned()),
        };
        let path = self.file.unwrap_or(Path::new("")).display();
        let checked = values.and_then(|values| check(arg, values));
        checked
            .map(Some)
            .map_err(|error| format!("{path}:{}: {name}: {error}", entry.line))
    }
}

/// A key as a part of a variable's name.
fn screaming(key: &str) -> String {
    key.to_uppercase().replace('-', "_")
}

fn takes_many(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// Has the option itself check values; gives them one by one.
fn check(arg: &Arg, values: Vec<String>) -> Result<Vec<String>, String> {
    let secret = arg.is_hide_env_values_set();
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return match values.as_slice() {
            [value] => truth(value).map(|truth| vec![truth.to_string()]),
            _ => Err("takes true or false".to_owned()),
        };
    }
    let values: Vec<String> = match arg.get_value_delimiter() {
        Some(delimiter) => values
            .iter()
            .flat_map(|value| value.split(delimiter))
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
            .collect(),
        None => values,
    };
    for value in &values {
        let bare = arg
            .clone()
            .env(Resettable::<clap::builder::OsStr>::Reset)
            .long("value");
        let parsed = Command::new("setting")
            .no_binary_name(true)
            .arg(bare)
            .try_get_matches_from([format!("--value={value}")]);
        if let Err(error) = parsed {
            let shown = if secret {
                "the value"
            } else {
                &format!("'{value}'")
            };
            return Err(format!("{shown} {}", reason(&error)));
        }
    }
    Ok(values)
}

fn truth(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("'{value}' is neither true nor false")),
    }
}

/// What is wrong with a value.
fn reason(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::InvalidValue
        && let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue)
        && !valid.is_empty()
    {
        return format!("is not one of {}", valid.join(", "));
    }
    match error.source() {
        Some(source) => format!("cannot be used: {source}"),
        None => "cannot be used".to_owned(),
    }
}

#[cfg(test)]
mod tests;
