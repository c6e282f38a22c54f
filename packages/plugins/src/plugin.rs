use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{ConfigProblem, MediaFile, MediaKind, Object, PluginError, Spending};

/// What a kind of node does with the files it gets.
///
/// A run may be repeated after a crash, with the same context, config and files: it then has to come to the same
/// outputs under the same names. It may be cancelled at any await.
#[async_trait]
pub trait Plugin: Send + Sync + 'static {
    /// What a node can set. Absent keys have defaults; unknown ones are ignored.
    type Config: DeserializeOwned + JsonSchema + Send;

    /// Who it is. Always the same.
    fn about(&self) -> About;

    /// What the schema cannot say against a config.
    fn check(&self, config: &Self::Config) -> Vec<ConfigProblem> {
        let _ = config;
        Vec::new()
    }

    /// What the app lacks to run it with a config that passed its checks, such as a provider's key. A run then fails with it.
    fn lacks(&self, config: &Self::Config) -> Option<&'static str> {
        let _ = config;
        None
    }

    /// Whether a run may cost money: it is then held while the budget of who pays is used up.
    fn spends(&self) -> bool {
        false
    }

    /// Processes files of the kinds it accepts, with a config that passed its checks.
    async fn run(
        &self,
        context: &Context,
        config: Self::Config,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError>;
}

/// Who a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// What nodes call it.
    pub id: &'static str,
    /// Changes when the same config comes to mean something else.
    pub version: &'static str,
    /// Where it executes.
    pub executor: Executor,
    /// Files of other kinds are an error.
    pub accepts: &'static [MediaKind],
}

/// Where a plugin executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Executor {
    /// In the studio's own process.
    Native,
    /// As a function of its own.
    Inngest,
    /// In a Python sandbox.
    #[serde(rename = "python-e2b")]
    PythonE2b,
}

/// For whom a plugin runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    pub run_id: String,
    pub workflow_id: String,
    pub node_id: String,
    pub project_id: String,
    pub user_id: String,
    /// Where what is spent is told.
    #[serde(skip)]
    pub spending: Spending,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// What the next nodes get.
    pub files: Vec<MediaFile>,
    /// About the run as a whole; `processedBy` is added.
    pub metadata: Object,
}
