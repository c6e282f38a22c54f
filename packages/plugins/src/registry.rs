use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::config;
use crate::standard;
use crate::{
    About, ConfigError, Context, Executor, MediaFile, MediaKind, Object, Output, Plugin,
    PluginError, Services,
};

/// The plugins of an app, by id. Cloning is cheap.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    plugins: Arc<BTreeMap<&'static str, Handle>>,
}

impl Registry {
    /// An empty one, to be filled.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The studio's own nine.
    pub fn standard(services: &Services) -> Self {
        Self::builder().standard(services).build()
    }

    /// The plugin of this id.
    pub fn get(&self, id: &str) -> Option<&Handle> {
        self.plugins.get(id)
    }

    /// All plugins, by id.
    pub fn list(&self) -> impl ExactSizeIterator<Item = &Handle> {
        self.plugins.values()
    }
}

/// Gathers plugins.
#[derive(Debug, Default)]
pub struct Builder {
    plugins: BTreeMap<&'static str, Handle>,
}

impl Builder {
    /// Adds a plugin; an earlier one of the same id makes way, so that an app can put its own in place of one of the studio's.
    #[must_use]
    pub fn with(mut self, plugin: impl Plugin) -> Self {
        let handle = Handle::new(plugin);
        self.plugins.insert(handle.id(), handle);
        self
    }

    /// Adds the studio's own nine.
    #[must_use]
    pub fn standard(self, services: &Services) -> Self {
        self.with(standard::MediaInput)
            .with(standard::MediaOutput)
            .with(standard::BackgroundRemoval::new(services))
            .with(standard::ImageUpscale::new(services))
            .with(standard::ImageReframe::new(services))
            .with(standard::PaletteExtraction::new(services))
            .with(standard::ImageResize::new(services))
            .with(standard::FormatConversion::new(services))
            .with(standard::PythonScript::new(services))
    }

    pub fn build(self) -> Registry {
        Registry {
            plugins: Arc::new(self.plugins),
        }
    }
}

/// A plugin whose config is JSON. Cloning is cheap.
#[derive(Clone)]
pub struct Handle {
    about: About,
    schema: Arc<Value>,
    plugin: Arc<dyn Erased>,
}

impl Handle {
    fn new<P: Plugin>(plugin: P) -> Self {
        Self {
            about: plugin.about(),
            schema: Arc::new(config::schema::<P::Config>()),
            plugin: Arc::new(plugin),
        }
    }

    pub fn id(&self) -> &'static str {
        self.about.id
    }

    pub fn version(&self) -> &'static str {
        self.about.version
    }

    pub fn executor(&self) -> Executor {
        self.about.executor
    }

    /// The kinds of files that it takes.
    pub fn accepts(&self) -> &'static [MediaKind] {
        self.about.accepts
    }

    /// Whether it may cost money.
    pub fn spends(&self) -> bool {
        self.plugin.spends()
    }

    /// The JSON Schema of its config. A property that says `writeOnly` is a secret.
    pub fn config_schema(&self) -> &Value {
        &self.schema
    }

    /// Whether it would take this config; the error names every bad place. An absent config is an empty one.
    pub fn check_config(&self, config: Option<&Object>) -> Result<(), ConfigError> {
        self.plugin.check(config, &self.schema)
    }

    /// Whether it could run with this config: its checks, and what the app lacks for it.
    ///
    /// # Errors
    /// [`PluginError::Config`] or [`PluginError::NotConfigured`].
    pub fn check_ready(&self, config: Option<&Object>) -> Result<(), Box<PluginError>> {
        let plugin = self.id();
        match self.plugin.lacks(config, &self.schema) {
            Ok(None) => Ok(()),
            Ok(Some(missing)) => Err(Box::new(PluginError::NotConfigured { plugin, missing })),
            Err(error) => Err(Box::new(error.into())),
        }
    }

    /// The config as it may be stored and shown: secrets are replaced by `***`.
    pub fn redacted_config(&self, config: &Object) -> Object {
        config::redacted(config, &self.schema)
    }

    /// Checks the config and the files, and runs it.
    pub async fn run(
        &self,
        context: &Context,
        config: Option<&Object>,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        self.check_config(config)?;
        if let Some(file) = files
            .iter()
            .find(|file| !self.accepts().contains(&file.kind))
        {
            let accepted: Vec<String> = self
                .accepts()
                .iter()
                .map(|kind| format!("{} files", kind.name()))
                .collect();
            return Err(PluginError::Unaccepted {
                plugin: self.id(),
                file: file.plain_name(),
                found: file.kind.name(),
                accepted: accepted.join(" and "),
            });
        }
        let mut output = self
            .plugin
            .run(context, config, &self.schema, files)
            .await?;
        output
            .metadata
            .insert("processedBy".to_owned(), self.id().into());
        Ok(output)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

/// [`Plugin`] without its config's type.
#[async_trait]
trait Erased: Send + Sync {
    fn spends(&self) -> bool;

    fn check(&self, config: Option<&Object>, schema: &Value) -> Result<(), ConfigError>;

    fn lacks(
        &self,
        config: Option<&Object>,
        schema: &Value,
    ) -> Result<Option<&'static str>, ConfigError>;

    async fn run(
        &self,
        context: &Context,
        config: Option<&Object>,
        schema: &Value,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError>;
}

#[async_trait]
impl<P: Plugin> Erased for P {
    fn spends(&self) -> bool {
        Plugin::spends(self)
    }

    fn check(&self, config: Option<&Object>, schema: &Value) -> Result<(), ConfigError> {
        read(self, config, schema).map(drop)
    }

    fn lacks(
        &self,
        config: Option<&Object>,
        schema: &Value,
    ) -> Result<Option<&'static str>, ConfigError> {
        let config = read(self, config, schema)?;
        Ok(Plugin::lacks(self, &config))
    }

    async fn run(
        &self,
        context: &Context,
        config: Option<&Object>,
        schema: &Value,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        let config = read(self, config, schema)?;
        Plugin::run(self, context, config, files).await
    }
}

fn read<P: Plugin>(
    plugin: &P,
    config: Option<&Object>,
    schema: &Value,
) -> Result<P::Config, ConfigError> {
    let failed = |problems| ConfigError {
        plugin: plugin.about().id.to_owned(),
        problems,
    };
    let config = config::read::<P::Config>(config, schema).map_err(failed)?;
    let problems = plugin.check(&config);
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(failed(problems))
    }
}
