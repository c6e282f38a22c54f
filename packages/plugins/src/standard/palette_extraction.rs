use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use studio233_media::{Swatch, palette};

use super::pictures;
use crate::each::{Job, Opened};
use crate::{About, Context, MediaFile, Object, Output, Plugin, PluginError, Services};

/// `palette-extraction`: tells the main colours of pictures, which stay as they are.
///
/// The metadata's `palettes` has for each file `{fileId, name, colors: [{hex, rgb: {r, g, b}, percentage}]}`, the most frequent
/// colour first.
#[derive(Debug, Clone)]
pub struct PaletteExtraction {
    services: Services,
}

/// Its config.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    #[schemars(range(min = 3, max = 12))]
    pub colors: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self { colors: 6 }
    }
}

impl PaletteExtraction {
    pub fn new(services: &Services) -> Self {
        let services = services.clone();
        Self { services }
    }
}

#[async_trait]
impl Plugin for PaletteExtraction {
    type Config = Config;

    fn about(&self) -> About {
        pictures::about("palette-extraction")
    }

    async fn run(
        &self,
        context: &Context,
        config: Config,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        let job = Job {
            plugin: self.about().id,
            services: &self.services,
            context,
            suffix: "",
        };
        let colors = usize::from(config.colors);
        let work = move |opened: Opened| Ok(palette(&opened.decode()?, colors));
        let palettes = job.inspect(&files, work).await?;
        let palettes: Vec<Value> = files
            .iter()
            .zip(palettes)
            .map(|(file, swatches)| {
                let colors: Vec<Value> = swatches.iter().map(told).collect();
                json!({"fileId": file.id, "name": file.plain_name(), "colors": colors})
            })
            .collect();
        let mut metadata = Object::new();
        metadata.insert("palettes".to_owned(), palettes.into());
        Ok(Output { files, metadata })
    }
}

fn told(swatch: &Swatch) -> Value {
    let [r, g, b] = swatch.color.0;
    json!({
        "hex": swatch.color.to_string(),
        "rgb": {"r": r, "g": g, "b": b},
        "percentage": swatch.percentage,
    })
}
