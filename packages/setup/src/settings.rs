//! Where the studio keeps its things, who does its work, and whom it tells: flag before environment before file before
//! default.

use crate::Failure;
use clap::Args;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use studio233_db::DatabaseUrl;
use studio233_inngest::Config;
use studio233_rag::pdf::ReaderProgram;
use studio233_rag::{ALLOWED_ORIGINS_MAX, Origin};

mod money;
mod providers;
mod reporting;
mod storage;

pub use money::{BudgetOwner, FileBudget, Money};
pub use providers::{GeminiProvider, Providers};
pub use reporting::{Reporting, Webhook};
pub use storage::{BlobPlace, Hidden};

/// Where the configuration is looked for when no flag names it.
const FILE: &str = "studio233.toml";
const DATA: &str = "data";
/// A larger configuration file was not written for this.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Flags of every program. Each has an environment variable; what neither gives stands in the configuration
/// file, and else is the default.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// The data folder [default: ./data].
    #[arg(long, global = true, env = "STUDIO233_DATA", value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// The configuration file [default: ./studio233.toml, if it is there].
    #[arg(long, global = true, env = "STUDIO233_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// An origin (http://host:port) that documents may be fetched from although its address is private. May be given
    /// several times.
    #[arg(
        long,
        global = true,
        env = "STUDIO233_ALLOW_ORIGINS",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub allow_origin: Vec<String>,
    /// Where workspaces and what they know are kept: sqlite:FILE, or postgres://USER:PASSWORD@HOST/NAME with the
    /// extension pgvector [default: studio.db in the data folder].
    #[arg(
        long,
        global = true,
        env = "STUDIO233_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Option<Hidden>,
    /// Where uploads and pictures are kept: a folder, or s3://BUCKET/FOLDER, whose keys stand in the environment or the
    /// file [default: blobs in the data folder].
    #[arg(long, global = true, env = "STUDIO233_BLOBS", value_name = "PLACE")]
    pub blobs: Option<String>,
    /// The folder for temporary files: the only one that jobs delete files in [default: temp in the data folder].
    #[arg(long, global = true, env = "STUDIO233_TEMP", value_name = "FOLDER")]
    pub temp: Option<PathBuf>,
}

/// What was decided.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder.
    pub data: PathBuf,
    /// The port that the file names, for programs that listen.
    pub port: Option<u16>,
    /// Origins that documents are fetched from wherever they are.
    pub allow_origins: Vec<Origin>,
    /// The database; none for the file in the data folder.
    pub database: Option<DatabaseUrl>,
    /// Where blobs are kept; none for the folder in the data folder.
    pub blobs: Option<BlobPlace>,
    /// The folder for temporary files; none for the one in the data folder.
    pub temp: Option<PathBuf>,
    /// Who does the work of AI.
    pub providers: Providers,
    /// Who is told of failures.
    pub reporting: Reporting,
    /// What models cost, and what may be spent.
    pub money: Money,
    /// Where servers of the protocol are, and the keys to them.
    pub inngest: Config,
    /// What reads PDFs, each in a process of its own; none to read them in this one. It is the program's to set.
    pub pdf_program: Option<ReaderProgram>,
}

/// `studio233.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    /// Relative to the file's folder.
    data: Option<PathBuf>,
    port: Option<u16>,
    allow_origins: Vec<String>,
    /// A file in it is relative to this file's folder.
    database_url: Option<Hidden>,
    /// A folder is relative to this file's folder.
    blobs: Option<String>,
    /// A folder is relative to this file's folder.
    temp: Option<PathBuf>,
    /// The keys to providers, and which models are asked.
    ai: BTreeMap<String, Hidden>,
    /// Who is told of failures.
    reports: BTreeMap<String, Hidden>,
    /// The currency, and a table for each model or provider.
    prices: BTreeMap<String, toml::Value>,
    budgets: Vec<BTreeMap<String, toml::Value>>,
    /// Keys are the `STUDIO233_S3_…` variables in lower case without the prefix: `region = "…"`.
    s3: BTreeMap<String, Hidden>,
    /// Keys are the `INNGEST_…` variables in lower case without the prefix: `event_key = "…"`.
    inngest: BTreeMap<String, Hidden>,
}

impl Settings {
    /// Everything in a data folder, the local provider, development mode.
    #[must_use]
    pub fn in_folder(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            port: None,
            allow_origins: Vec::new(),
            database: None,
            blobs: None,
            temp: None,
            providers: Providers::default(),
            reporting: Reporting::default(),
            money: Money::default(),
            inngest: Config::dev(),
            pdf_program: None,
        }
    }

    /// Reads flags (which carry the environment) and the file.
    ///
    /// # Errors
    /// What cannot be used, and where it stands.
    pub fn read(flags: &Flags) -> Result<Self, Failure> {
        Self::resolve(flags, |name| std::env::var(name).ok())
    }

    fn resolve(
        flags: &Flags,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Failure> {
        let file = match &flags.config {
            Some(path) => read_file(path)?,
            None if Path::new(FILE).exists() => read_file(Path::new(FILE))?,
            None => File::default(),
        };
        let beside_file = |path: PathBuf| {
            let folder = flags.config.as_deref().and_then(Path::parent);
            folder.map_or(path.clone(), |folder| folder.join(path))
        };
        let data = flags.data.clone().or_else(|| file.data.map(beside_file));
        let origins = match flags.allow_origin.is_empty() {
            true => &file.allow_origins,
            false => &flags.allow_origin,
        };
        if origins.len() > ALLOWED_ORIGINS_MAX {
            return Err(bad(format!(
                "{} origins are allowed; at most {ALLOWED_ORIGINS_MAX} can be",
                origins.len()
            )));
        }
        let mut allow_origins = Vec::new();
        for origin in origins {
            let parsed = Origin::parse(origin).ok_or_else(|| {
                bad(format!("'{origin}' is no origin"))
                    .hint("write scheme, host and port only: http://127.0.0.1:9000")
            })?;
            allow_origins.push(parsed);
        }
        let data = data.unwrap_or_else(|| PathBuf::from(DATA));
        let data = absolute(&data, "data")?;
        let temp = flags.temp.clone().or_else(|| file.temp.map(beside_file));
        let temp = temp.map(|temp| absolute(&temp, "temporary")).transpose()?;
        let database = storage::database(
            flags.database_url.as_ref(),
            file.database_url.as_ref(),
            beside_file,
        )?;
        let blobs = storage::blobs(
            flags.blobs.as_deref(),
            file.blobs.as_deref(),
            &file.s3,
            &environment,
            beside_file,
        )?;
        Ok(Self {
            data,
            database,
            blobs,
            temp,
            port: file.port,
            allow_origins,
            providers: providers::read(&file.ai, &environment)?,
            reporting: reporting::read(&file.reports, &environment)?,
            money: money::read(&file.prices, &file.budgets)?,
            inngest: inngest(&file.inngest, environment)?,
            pdf_program: None,
        })
    }
}

/// The protocol's variables, each from the environment, else from the file. A studio without any is in development
/// mode: it listens on loopback only.
fn inngest(
    file: &BTreeMap<String, Hidden>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Config, Failure> {
    let get = |name: &str| {
        let key = name.strip_prefix("INNGEST_").unwrap_or(name);
        given(file, &environment, name, &key.to_ascii_lowercase())
    };
    let development = get("INNGEST_SIGNING_KEY").is_none() && get("INNGEST_DEV").is_none();
    let config = Config::read(|name| match (name, development) {
        ("INNGEST_DEV", true) => Some("1".to_owned()),
        _ => get(name),
    });
    config.map_err(|error| bad(error.to_string()))
}

fn absolute(folder: &Path, what: &str) -> Result<PathBuf, Failure> {
    std::path::absolute(folder)
        .map_err(|error| bad(format!("the {what} folder {}: {error}", folder.display())))
}

/// A variable of the environment, else the file's key. A blank one says nothing.
fn given(
    file: &BTreeMap<String, Hidden>,
    environment: impl Fn(&str) -> Option<String>,
    variable: &str,
    key: &str,
) -> Option<String> {
    let said = |value: &String| !is_blank(value);
    let in_file = || file.get(key).map(|value| value.0.clone()).filter(said);
    environment(variable).filter(said).or_else(in_file)
}

/// What is blank says nothing, so that a variable can be taken back where it cannot be unset.
fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// The first key of a table that is none of those that it may have.
fn only_known(table: &str, file: &BTreeMap<String, Hidden>, known: &[&str]) -> Result<(), Failure> {
    match file.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(bad(format!("[{table}] has an unknown key `{unknown}`"))
            .hint(format!("the keys are {}", known.join(", ")))),
        None => Ok(()),
    }
}

fn read_file(path: &Path) -> Result<File, Failure> {
    let named = |what: String| bad(format!("{}: {what}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| named(error.to_string()))?;
    if size.len() > FILE_BYTES_MAX {
        return Err(named(format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    toml::from_str(&text).map_err(|error| {
        named(told(&error, &text))
            .hint("the keys are data, port, allow_origins, database_url, blobs, temp, [ai], [reports], [prices], [[budgets]], [s3] and [inngest]")
    })
}

/// What is wrong and where; nothing of what the file says, which may be a secret.
fn told(error: &toml::de::Error, text: &str) -> String {
    let message = error.message();
    let what = match message.strip_prefix("invalid type: ") {
        Some(rest) => {
            let given = rest.split([' ', ',']).next().unwrap_or_default();
            let expected = rest
                .split_once(", expected ")
                .map_or("", |(_, wanted)| wanted);
            format!("{given} given, expected {expected}")
        }
        None => message.to_owned(),
    };
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => {
            let line = before.matches('\n').count() + 1;
            let column = before
                .rsplit('\n')
                .next()
                .unwrap_or_default()
                .chars()
                .count()
                + 1;
            format!("line {line}, column {column}: {what}")
        }
        None => what,
    }
}

fn bad(message: String) -> Failure {
    Failure::new("configuration", message)
}

#[cfg(test)]
mod tests;
