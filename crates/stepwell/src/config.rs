//! Where servers are, and the keys to them.

use std::fmt;
use std::num::NonZeroU32;
use stepwell_protocol::signing::SigningKey;
use tracing::level_filters::LevelFilter;

const DEV_SERVER: &str = "http://localhost:8288";
const CLOUD_API: &str = "https://api.inngest.com";
const CLOUD_EVENTS: &str = "https://inn.gs";
/// What stands in the path of a development server's event endpoint when there is no key.
const DEV_EVENT_KEY: &str = "NO_EVENT_KEY_SET";

/// Variables in which hosting platforms name the branch, in order; the environment's name if none is given.
const BRANCH_VARIABLES: [&str; 6] = [
    "VERCEL_GIT_COMMIT_REF",
    "BRANCH",
    "CF_PAGES_BRANCH",
    "RENDER_GIT_BRANCH",
    "RAILWAY_GIT_BRANCH",
    "BRANCH_NAME",
];

/// Whether calls are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A development server: no keys, no signatures.
    Dev,
    /// Everything is signed.
    Cloud,
}

impl Mode {
    /// `dev` or `cloud`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Cloud => "cloud",
        }
    }
}

/// Where servers are, and the keys to them. Keys never appear in `Debug`.
#[derive(Clone)]
pub struct Config {
    /// Whether calls are verified.
    pub mode: Mode,
    /// The event key.
    pub event_key: Option<String>,
    /// The signing key.
    pub signing_key: Option<SigningKey>,
    /// A second signing key, for the time while keys are exchanged.
    pub signing_key_fallback: Option<SigningKey>,
    /// Origin of the API, without a slash at its end.
    pub api_url: String,
    /// Origin of the event API, without a slash at its end.
    pub event_url: String,
    /// The environment that requests are for.
    pub environment: Option<String>,
    /// The origin under which servers reach the app, when not that of their own requests.
    pub serve_origin: Option<String>,
    /// The path under which servers reach the app, likewise.
    pub serve_path: Option<String>,
    /// Whether a server may have the functions in its answer to a sync.
    pub allow_in_band_sync: bool,
    /// Whether anyone may start a sync.
    pub allow_unsigned_sync: bool,
    /// Whether answers to calls begin before the calls have ended; see [`serve::Handler::streaming`](crate::serve::Handler::streaming).
    pub streaming: bool,
    /// Whether events that a run sends in steps belong to the [sessions](crate::Context::sessions) of the run.
    pub session_propagation: bool,
    /// How much is to be logged, if the environment says so. The SDK logs with `tracing` and leaves the choice of a subscriber
    /// to the program: hand it this level.
    pub log_level: Option<LevelFilter>,
    /// Where workers of `connect` open their WebSocket, when not where the server says.
    pub connect_gateway_url: Option<String>,
    /// How many calls a worker of `connect` has at once.
    pub connect_concurrency_max: Option<NonZeroU32>,
    /// Whether a worker of `connect` keeps its connection on a thread of its own.
    pub connect_isolate_execution: bool,
}

/// The environment holds something unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A URL without `http://` or `https://`.
    #[error("{variable} is '{value}'; write an origin such as http://localhost:8288")]
    Url {
        /// The variable or option.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// A URL without `ws://` or `wss://`.
    #[error(
        "{variable} is '{value}'; write a WebSocket's URL such as wss://workers.example.com/v0/connect"
    )]
    GatewayUrl {
        /// The variable or option.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// Not a number of calls.
    #[error("{variable} is '{value}'; write a number from 1 on")]
    Count {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// Not a level of logs.
    #[error("{variable} is '{value}'; write one of trace, debug, info, warn, error, off")]
    Level {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// Neither a yes nor a no.
    #[error("{variable} is '{value}'; write 1 or 0")]
    Boolean {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
}

impl Config {
    /// A development server on this machine.
    #[must_use]
    pub fn dev() -> Self {
        Self::read(|name| (name == "INNGEST_DEV").then(|| "1".to_owned()))
            .expect("a constant environment is usable")
    }

    /// What the process's environment says: the `INNGEST_…` variables of the protocol.
    ///
    /// # Errors
    /// [`ConfigError`] with the variable that is unusable.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// What an environment says; `get` gives the value of a variable. Empty values count as absent.
    ///
    /// # Errors
    /// [`ConfigError`] with the variable that is unusable.
    pub fn read(get: impl Fn(&'static str) -> Option<String>) -> Result<Self, ConfigError> {
        let get = |name| {
            get(name)
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let origin = |variable| {
            get(variable)
                .map(|value| parse_origin(variable, &value))
                .transpose()
        };
        let flag = |variable, default| {
            get(variable).map_or(Ok(default), |value| parse_flag(variable, &value))
        };

        let (mode, dev_server) = match get("INNGEST_DEV") {
            None => (Mode::Cloud, None),
            Some(value) if value.contains("://") => {
                (Mode::Dev, Some(parse_origin("INNGEST_DEV", &value)?))
            }
            Some(value) if parse_flag("INNGEST_DEV", &value)? => (Mode::Dev, None),
            Some(_) => (Mode::Cloud, None),
        };
        let base = match (origin("INNGEST_BASE_URL")?, mode) {
            (Some(base), _) => Some(base),
            (None, Mode::Dev) => Some(dev_server.unwrap_or_else(|| DEV_SERVER.to_owned())),
            (None, Mode::Cloud) => None,
        };
        let or_base = |own: Option<String>, cloud: &str| {
            own.or_else(|| base.clone())
                .unwrap_or_else(|| cloud.to_owned())
        };
        Ok(Self {
            mode,
            event_key: get("INNGEST_EVENT_KEY"),
            signing_key: get("INNGEST_SIGNING_KEY").map(SigningKey::new),
            signing_key_fallback: get("INNGEST_SIGNING_KEY_FALLBACK").map(SigningKey::new),
            api_url: or_base(origin("INNGEST_API_BASE_URL")?, CLOUD_API),
            event_url: or_base(origin("INNGEST_EVENT_API_BASE_URL")?, CLOUD_EVENTS),
            environment: get("INNGEST_ENV").or_else(|| BRANCH_VARIABLES.into_iter().find_map(get)),
            serve_origin: match origin("INNGEST_SERVE_ORIGIN")? {
                Some(given) => Some(given),
                None => origin("INNGEST_SERVE_HOST")?,
            },
            serve_path: get("INNGEST_SERVE_PATH"),
            allow_in_band_sync: flag("INNGEST_ALLOW_IN_BAND_SYNC", true)?,
            allow_unsigned_sync: flag("INNGEST_ENABLE_UNAUTHED_SYNC", true)?,
            streaming: flag("INNGEST_STREAMING", false)?,
            session_propagation: flag("INNGEST_SESSION_PROPAGATION", true)?,
            log_level: get("INNGEST_LOG_LEVEL")
                .map(|value| parse_level("INNGEST_LOG_LEVEL", &value))
                .transpose()?,
            connect_gateway_url: get("INNGEST_CONNECT_GATEWAY_URL")
                .map(|value| parse_gateway_url("INNGEST_CONNECT_GATEWAY_URL", &value))
                .transpose()?,
            connect_concurrency_max: get("INNGEST_CONNECT_MAX_WORKER_CONCURRENCY")
                .map(|value| parse_count("INNGEST_CONNECT_MAX_WORKER_CONCURRENCY", &value))
                .transpose()?,
            connect_isolate_execution: flag("INNGEST_CONNECT_ISOLATE_EXECUTION", true)?,
        })
    }

    /// The key for the path of the event endpoint; `None` when one is needed and none is there.
    pub(crate) fn event_key_for_path(&self) -> Option<&str> {
        match (&self.event_key, self.mode) {
            (Some(key), _) => Some(key),
            (None, Mode::Dev) => Some(DEV_EVENT_KEY),
            (None, Mode::Cloud) => None,
        }
    }

    /// The signing keys, in the order in which they are tried.
    pub(crate) fn signing_keys(&self) -> impl Iterator<Item = &SigningKey> {
        self.signing_key.iter().chain(&self.signing_key_fallback)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Config")
            .field("mode", &self.mode)
            .field("event_key", &self.event_key.is_some())
            .field("signing_key", &self.signing_key.is_some())
            .field("signing_key_fallback", &self.signing_key_fallback.is_some())
            .field("api_url", &self.api_url)
            .field("event_url", &self.event_url)
            .field("environment", &self.environment)
            .field("serve_origin", &self.serve_origin)
            .field("serve_path", &self.serve_path)
            .field("allow_in_band_sync", &self.allow_in_band_sync)
            .field("allow_unsigned_sync", &self.allow_unsigned_sync)
            .field("streaming", &self.streaming)
            .field("session_propagation", &self.session_propagation)
            .field("log_level", &self.log_level)
            .field("connect_gateway_url", &self.connect_gateway_url)
            .field("connect_concurrency_max", &self.connect_concurrency_max)
            .field("connect_isolate_execution", &self.connect_isolate_execution)
            .finish()
    }
}

pub(crate) fn parse_origin(variable: &'static str, value: &str) -> Result<String, ConfigError> {
    let usable = value.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
    });
    if !usable {
        let value = value.to_owned();
        return Err(ConfigError::Url { variable, value });
    }
    Ok(value.trim_end_matches('/').to_owned())
}

pub(crate) fn parse_gateway_url(
    variable: &'static str,
    value: &str,
) -> Result<String, ConfigError> {
    let usable = value
        .parse::<http::Uri>()
        .is_ok_and(|uri| matches!(uri.scheme_str(), Some("ws" | "wss")) && uri.host().is_some());
    match usable {
        true => Ok(value.to_owned()),
        false => Err(ConfigError::GatewayUrl {
            variable,
            value: value.to_owned(),
        }),
    }
}

fn parse_count(variable: &'static str, value: &str) -> Result<NonZeroU32, ConfigError> {
    value.parse().map_err(|_| ConfigError::Count {
        variable,
        value: value.to_owned(),
    })
}

/// A level by its name here, or by another SDK's.
fn parse_level(variable: &'static str, value: &str) -> Result<LevelFilter, ConfigError> {
    match value.to_ascii_lowercase().as_str() {
        "trace" => Ok(LevelFilter::TRACE),
        "debug" => Ok(LevelFilter::DEBUG),
        "info" => Ok(LevelFilter::INFO),
        "warn" | "warning" => Ok(LevelFilter::WARN),
        "error" | "fatal" => Ok(LevelFilter::ERROR),
        "off" | "silent" => Ok(LevelFilter::OFF),
        _ => Err(ConfigError::Level {
            variable,
            value: value.to_owned(),
        }),
    }
}

fn parse_flag(variable: &'static str, value: &str) -> Result<bool, ConfigError> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(ConfigError::Boolean {
            variable,
            value: value.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
        Config::read(|name| {
            let pair = pairs.iter().find(|(key, _)| *key == name);
            pair.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_decides_mode_and_places() {
        type Case = (
            &'static [(&'static str, &'static str)],
            Mode,
            &'static str,
            &'static str,
        );
        let cases: [Case; 7] = [
            (&[], Mode::Cloud, CLOUD_API, CLOUD_EVENTS),
            (
                &[("INNGEST_DEV", "0")],
                Mode::Cloud,
                CLOUD_API,
                CLOUD_EVENTS,
            ),
            (&[("INNGEST_DEV", "1")], Mode::Dev, DEV_SERVER, DEV_SERVER),
            (
                &[("INNGEST_DEV", "http://dev:9/")],
                Mode::Dev,
                "http://dev:9",
                "http://dev:9",
            ),
            (
                &[("INNGEST_BASE_URL", "http://own:1")],
                Mode::Cloud,
                "http://own:1",
                "http://own:1",
            ),
            (
                &[
                    ("INNGEST_BASE_URL", "http://own:1"),
                    ("INNGEST_EVENT_API_BASE_URL", "http://events:2"),
                ],
                Mode::Cloud,
                "http://own:1",
                "http://events:2",
            ),
            (
                &[
                    ("INNGEST_DEV", "true"),
                    ("INNGEST_API_BASE_URL", "http://api:3"),
                ],
                Mode::Dev,
                "http://api:3",
                DEV_SERVER,
            ),
        ];
        for (pairs, mode, api, events) in cases {
            let config = read(pairs).unwrap();
            let found = (
                config.mode,
                config.api_url.as_str(),
                config.event_url.as_str(),
            );
            assert_eq!(found, (mode, api, events), "{pairs:?}");
        }
    }

    #[test]
    fn every_variable_has_its_effect() {
        type Effect = fn(&Config) -> String;
        fn keys(config: &Config) -> String {
            config.signing_keys().count().to_string()
        }
        let environment: Effect = |config| config.environment.clone().unwrap_or_default();
        let key: Effect = |config| config.event_key_for_path().unwrap_or("none").to_owned();
        let served: Effect = |config| {
            let origin = config.serve_origin.clone().unwrap_or_default();
            origin + config.serve_path.as_deref().unwrap_or_default()
        };
        let in_band: Effect = |config| config.allow_in_band_sync.to_string();
        let unsigned: Effect = |config| config.allow_unsigned_sync.to_string();
        type Case = (
            &'static [(&'static str, &'static str)],
            Effect,
            &'static str,
        );
        let streaming: Effect = |config| config.streaming.to_string();
        let sessions: Effect = |config| config.session_propagation.to_string();
        let level: Effect = |config| format!("{:?}", config.log_level);
        let cases: [Case; 32] = [
            (&[], streaming, "false"),
            (&[("INNGEST_STREAMING", "true")], streaming, "true"),
            (&[], sessions, "true"),
            (&[("INNGEST_SESSION_PROPAGATION", "0")], sessions, "false"),
            (&[], level, "None"),
            (
                &[("INNGEST_LOG_LEVEL", "Debug")],
                level,
                "Some(LevelFilter::DEBUG)",
            ),
            (
                &[("INNGEST_LOG_LEVEL", "silent")],
                level,
                "Some(LevelFilter::OFF)",
            ),
            (&[("INNGEST_EVENT_KEY", " k ")], key, "k"),
            (
                &[("INNGEST_EVENT_KEY", "k"), ("INNGEST_DEV", "1")],
                key,
                "k",
            ),
            (&[("INNGEST_DEV", "1")], key, DEV_EVENT_KEY),
            (&[], key, "none"),
            (&[("INNGEST_EVENT_KEY", "")], key, "none"),
            (&[("INNGEST_SIGNING_KEY", "a")], keys, "1"),
            (
                &[
                    ("INNGEST_SIGNING_KEY", "a"),
                    ("INNGEST_SIGNING_KEY_FALLBACK", "b"),
                ],
                keys,
                "2",
            ),
            (
                &[("INNGEST_ENV", "staging"), ("BRANCH", "b")],
                environment,
                "staging",
            ),
            (
                &[("VERCEL_GIT_COMMIT_REF", "v"), ("BRANCH", "b")],
                environment,
                "v",
            ),
            (&[("BRANCH", "b")], environment, "b"),
            (&[("CF_PAGES_BRANCH", "c")], environment, "c"),
            (&[("RENDER_GIT_BRANCH", "r")], environment, "r"),
            (&[("RAILWAY_GIT_BRANCH", "w")], environment, "w"),
            (&[("BRANCH_NAME", "n")], environment, "n"),
            (&[], environment, ""),
            (
                &[("INNGEST_SERVE_ORIGIN", "https://a/")],
                served,
                "https://a",
            ),
            (&[("INNGEST_SERVE_HOST", "https://h")], served, "https://h"),
            (
                &[
                    ("INNGEST_SERVE_HOST", "https://h"),
                    ("INNGEST_SERVE_ORIGIN", "https://o"),
                ],
                served,
                "https://o",
            ),
            (&[("INNGEST_SERVE_PATH", "/p")], served, "/p"),
            (&[], in_band, "true"),
            (&[("INNGEST_ALLOW_IN_BAND_SYNC", "0")], in_band, "false"),
            (&[("INNGEST_ALLOW_IN_BAND_SYNC", "TRUE")], in_band, "true"),
            (&[], unsigned, "true"),
            (
                &[("INNGEST_ENABLE_UNAUTHED_SYNC", "false")],
                unsigned,
                "false",
            ),
            (&[("INNGEST_ENABLE_UNAUTHED_SYNC", "1")], unsigned, "true"),
        ];
        for (pairs, effect, expected) in cases {
            assert_eq!(effect(&read(pairs).unwrap()), expected, "{pairs:?}");
        }
    }

    #[test]
    fn unusable_values_are_named() {
        let error = |pairs: &[(&'static str, &str)]| read(pairs).unwrap_err().to_string();
        assert_eq!(
            error(&[("INNGEST_BASE_URL", "localhost:8288")]),
            "INNGEST_BASE_URL is 'localhost:8288'; write an origin such as http://localhost:8288"
        );
        assert_eq!(
            error(&[("INNGEST_DEV", "maybe")]),
            "INNGEST_DEV is 'maybe'; write 1 or 0"
        );
        assert_eq!(
            error(&[("INNGEST_LOG_LEVEL", "loud")]),
            "INNGEST_LOG_LEVEL is 'loud'; write one of trace, debug, info, warn, error, off"
        );
        assert_eq!(
            error(&[("INNGEST_CONNECT_MAX_WORKER_CONCURRENCY", "0")]),
            "INNGEST_CONNECT_MAX_WORKER_CONCURRENCY is '0'; write a number from 1 on"
        );
        assert_eq!(
            error(&[("INNGEST_CONNECT_GATEWAY_URL", "https://gateway")]),
            "INNGEST_CONNECT_GATEWAY_URL is 'https://gateway'; write a WebSocket's URL such as wss://workers.example.com/v0/connect"
        );
    }

    #[test]
    fn workers_are_configured_by_the_environment() {
        let plain = read(&[]).unwrap();
        assert_eq!(plain.connect_gateway_url, None);
        assert_eq!(plain.connect_concurrency_max, None);
        assert!(plain.connect_isolate_execution);
        let config = read(&[
            ("INNGEST_CONNECT_GATEWAY_URL", "wss://gateway:1/v0/connect"),
            ("INNGEST_CONNECT_MAX_WORKER_CONCURRENCY", "7"),
            ("INNGEST_CONNECT_ISOLATE_EXECUTION", "false"),
        ]);
        let config = config.unwrap();
        assert_eq!(
            config.connect_gateway_url.as_deref(),
            Some("wss://gateway:1/v0/connect")
        );
        assert_eq!(config.connect_concurrency_max, NonZeroU32::new(7));
        assert!(!config.connect_isolate_execution);
    }

    #[test]
    fn keys_stay_out_of_debug_output() {
        let config = read(&[
            ("INNGEST_SIGNING_KEY", "signkey-test-abcd"),
            ("INNGEST_EVENT_KEY", "secret"),
        ]);
        let text = format!("{:?}", config.unwrap());
        assert!(!text.contains("abcd") && !text.contains("secret"), "{text}");
    }
}
