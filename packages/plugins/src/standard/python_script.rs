use std::collections::BTreeMap;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::VERSION;
use crate::{
    About, ConfigProblem, Context, Executor, MediaFile, MediaKind, Output, Plugin, PluginError,
    PythonJob, Services,
};

const ID: &str = "python-script";

const VARIABLES_MAX: usize = 64;
const VALUE_CHARACTERS_MAX: usize = 4096;

/// `python-script`: runs one of the scripts that the app allows, in a sandbox. Code never comes with a graph.
#[derive(Debug, Clone)]
pub struct PythonScript {
    services: Services,
}

/// Its config.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The name of a script on the app's list.
    #[schemars(length(min = 1, max = 200))]
    pub script_ref: String,
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 4096)))]
    pub args: Vec<String>,
    /// Environment variables; their values are not shown.
    #[serde(default)]
    #[schemars(extend("writeOnly" = true))]
    pub env: BTreeMap<String, String>,
}

const NO_EXECUTOR: &str = "no Python executor is configured";

impl PythonScript {
    pub fn new(services: &Services) -> Self {
        let services = services.clone();
        Self { services }
    }
}

#[async_trait]
impl Plugin for PythonScript {
    type Config = Config;

    fn about(&self) -> About {
        About {
            id: ID,
            version: VERSION,
            executor: Executor::PythonE2b,
            accepts: MediaKind::ALL,
        }
    }

    fn check(&self, config: &Config) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        // Without an executor there is no list either; that is said when it is to run.
        if self.services.python.is_some() && !self.services.scripts.contains(&config.script_ref) {
            let allowed: Vec<&str> = self.services.scripts.iter().map(String::as_str).collect();
            let shown: String = config.script_ref.chars().take(60).collect();
            problems.push(ConfigProblem::new(
                "scriptRef",
                format!(
                    "{shown:?} is not an allowed script; allowed are: {}",
                    allowed.join(", ")
                ),
            ));
        }
        if config.env.len() > VARIABLES_MAX {
            let found = config.env.len();
            let message = format!("expected at most {VARIABLES_MAX} variables, found {found}");
            problems.push(ConfigProblem::new("env", message));
        }
        for (name, value) in config.env.iter().take(VARIABLES_MAX) {
            let path = || format!("env.{}", name.chars().take(60).collect::<String>());
            let starts_well =
                name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !starts_well || !plain {
                let message = "a variable's name has letters, digits and underscores only";
                problems.push(ConfigProblem::new(path(), message));
            }
            if value.chars().count() > VALUE_CHARACTERS_MAX || value.contains('\0') {
                let message =
                    format!("expected at most {VALUE_CHARACTERS_MAX} characters, and no NUL");
                problems.push(ConfigProblem::new(path(), message));
            }
        }
        problems
    }

    fn lacks(&self, _: &Config) -> Option<&'static str> {
        match self.services.python {
            Some(_) => None,
            None => Some(NO_EXECUTOR),
        }
    }

    fn spends(&self) -> bool {
        self.services.python.is_some()
    }

    async fn run(
        &self,
        context: &Context,
        config: Config,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        let Some(python) = &self.services.python else {
            return Err(PluginError::NotConfigured {
                plugin: ID,
                missing: NO_EXECUTOR,
            });
        };
        let job = PythonJob {
            script: config.script_ref,
            args: config.args,
            env: config.env,
            files,
        };
        let executed = python.execute(context, job).await;
        executed.map_err(|source| PluginError::Service { plugin: ID, source })
    }
}
