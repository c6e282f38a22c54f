use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use studio233_media::{Format, Image};

use super::{IMAGES, VERSION};
use crate::each::{Job, Made, Opened};
use crate::error::chain;
use crate::pool::Panicked;
use crate::{
    About, BackgroundRemover, ConfigProblem, Context, Executor, FileError, MediaFile, Object,
    Output, PassedOver, Plugin, PluginError, Provider, Removal, Secret, ServiceError, Services,
};

const ID: &str = "background-removal";

/// `background-removal`: asks a provider for the subject alone, looks at what came back, and writes PNG.
///
/// With `auto` fal.ai is asked first; Gemini when that fails, or when its picture still has a background; then the studio's own
/// remover, if there is one. What one provider gave is kept if the next ones do no better. A node that is tried again asks for
/// those pictures only that it does not have yet.
#[derive(Debug, Clone)]
pub struct BackgroundRemoval {
    services: Services,
}

/// Its config.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    pub provider: Choice,
    /// The node's own key for the provider, which has to be named; the app's otherwise.
    #[schemars(with = "Option<String>", extend("writeOnly" = true))]
    pub api_key: Option<Secret>,
}

/// Which provider is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// fal.ai, then Gemini, then the studio's own.
    #[default]
    Auto,
    /// fal.ai alone.
    Fal,
    /// Gemini alone.
    Gemini,
}

impl Choice {
    fn in_order(self) -> &'static [Provider] {
        match self {
            Self::Auto => &[Provider::Fal, Provider::Gemini, Provider::Local],
            Self::Fal => &[Provider::Fal],
            Self::Gemini => &[Provider::Gemini],
        }
    }
}

impl BackgroundRemoval {
    pub fn new(services: &Services) -> Self {
        let services = services.clone();
        Self { services }
    }

    fn removers(&self, config: &Config) -> Vec<Arc<dyn BackgroundRemover>> {
        let has_key = config.api_key.is_some();
        let named = |provider: &Provider| {
            let mut removers = self.services.removers.iter();
            removers
                .find(|remover| remover.provider() == *provider)
                .filter(|remover| has_key || !remover.needs_key())
                .cloned()
        };
        let order = config.provider.in_order();
        order.iter().filter_map(named).collect()
    }
}

#[async_trait]
impl Plugin for BackgroundRemoval {
    type Config = Config;

    fn about(&self) -> About {
        About {
            id: ID,
            version: VERSION,
            executor: Executor::Native,
            accepts: IMAGES,
        }
    }

    /// A key is one provider's: `auto` would show it to others.
    fn check(&self, config: &Config) -> Vec<ConfigProblem> {
        if config.provider != Choice::Auto || config.api_key.is_none() {
            return Vec::new();
        }
        let message = "a key is for one provider; name it in `provider`: fal or gemini";
        vec![ConfigProblem::new("apiKey", message)]
    }

    fn lacks(&self, config: &Config) -> Option<&'static str> {
        let missing = match config.provider {
            Choice::Auto => "no provider is configured; it needs fal.ai or Gemini",
            Choice::Fal => "fal.ai is not configured",
            Choice::Gemini => "Gemini is not configured",
        };
        self.removers(config).is_empty().then_some(missing)
    }

    fn spends(&self) -> bool {
        // Those that work with nodes' own keys alone spend nothing of the app's.
        let mut removers = self.services.removers.iter();
        removers.any(|remover| remover.provider() != Provider::Local && !remover.needs_key())
    }

    async fn run(
        &self,
        context: &Context,
        config: Config,
        files: Vec<MediaFile>,
    ) -> Result<Output, PluginError> {
        if let Some(missing) = self.lacks(&config) {
            return Err(PluginError::NotConfigured {
                plugin: ID,
                missing,
            });
        }
        let removers = self.removers(&config);
        let job = Job {
            plugin: ID,
            services: &self.services,
            context,
            suffix: "_no_bg",
        };
        let (removers, config) = (&removers, &config);
        let files = job
            .each(&files, |position, file| async move {
                if let Some(made) = job.paid(position, file, Format::Png).await? {
                    return Ok(made);
                }
                let opened = {
                    let _place = self.services.pool.file().await;
                    job.opened(file).await?
                };
                let made = removed(job, &opened, removers, config.api_key.as_ref()).await?;
                let _place = self.services.pool.file().await;
                let made = job.stored(position, file, made).await?;
                job.keep_receipt(position, file, Format::Png, &made).await?;
                Ok(made)
            })
            .await?;
        Ok(Output {
            files,
            metadata: Object::new(),
        })
    }
}

/// What the first provider made that did well; else the best of what came back; else the first provider's error, which is
/// the one that people mean to mend. While a provider works, which takes minutes, no place for a file is held.
async fn removed(
    job: Job<'_>,
    opened: &Opened,
    removers: &[Arc<dyn BackgroundRemover>],
    api_key: Option<&Secret>,
) -> Result<Made, FileError> {
    let mut best: Option<(f64, Made)> = None;
    let mut first_error = None;
    let mut passed_over = Vec::new();
    for remover in removers {
        let tried = one(job, opened, remover.as_ref(), api_key).await;
        match tried {
            Ok((quality, mut made)) if quality.verified => {
                tell(&mut made, &passed_over);
                return Ok(made);
            }
            Ok((quality, mut made)) => {
                tell(&mut made, &passed_over);
                passed_over.push(PassedOver {
                    provider: remover.provider().name().to_owned(),
                    reason: "no subject stands alone in its picture".to_owned(),
                });
                if best
                    .as_ref()
                    .is_none_or(|(score, _)| quality.score > *score)
                {
                    best = Some((quality.score, made));
                }
            }
            Err(error) => {
                let provider = remover.provider().name();
                tracing::warn!(provider, %error, "background removal failed");
                passed_over.push(PassedOver {
                    provider: provider.to_owned(),
                    reason: chain(&error),
                });
                // One that may work later beats one that never will: the whole is then tried again.
                let replaces = |first: &FileError| !first.is_retriable() && error.is_retriable();
                if first_error.as_ref().is_none_or(replaces) {
                    first_error = Some(error);
                }
            }
        }
    }
    match (best, first_error) {
        (Some((_, made)), _) => Ok(made),
        (None, Some(error)) => Err(error),
        (None, None) => {
            let none = ServiceError::permanent("no provider was asked");
            Err(FileError::Removal(none))
        }
    }
}

/// Says in a file's metadata who was asked before the one who made it; also that nobody was, for what it was made of may say
/// otherwise of itself.
fn tell(made: &mut Made, passed_over: &[PassedOver]) {
    made.metadata
        .insert("passedOver".to_owned(), json!(passed_over));
}

async fn one(
    job: Job<'_>,
    opened: &Opened,
    remover: &dyn BackgroundRemover,
    api_key: Option<&Secret>,
) -> Result<(Quality, Made), FileError> {
    let removal = Removal {
        image: opened.bytes.clone(),
        content_type: opened.info.format.content_type(),
        api_key: api_key.cloned(),
        spending: job.context.spending.clone(),
    };
    let removed = remover.remove(removal).await.map_err(FileError::Removal)?;
    let _place = job.services.pool.file().await;
    let broken = |error: FileError| {
        let message = "the provider's answer is no picture that can be read";
        FileError::Removal(ServiceError::transient(message).because(error))
    };
    let answer = job.look_at(removed.image).await.map_err(broken)?;
    let provider = remover.provider().name();
    let pixels = answer.info.pixels();
    let computed = job.services.pool.compute(pixels, move || {
        let image = answer.decode()?;
        let quality = Quality::of(&image);
        let mut made = Made::png(&image)?;
        made.metadata.insert("provider".to_owned(), json!(provider));
        made.metadata
            .insert("verified".to_owned(), json!(quality.verified));
        made.metadata
            .insert("qualityScore".to_owned(), json!(quality.score));
        Ok((quality, made))
    });
    let computed = computed.await;
    computed
        .unwrap_or_else(|Panicked| Err(FileError::Panicked))
        .map_err(broken)
}

/// What can be seen of a picture without knowing its subject.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Quality {
    /// There is a subject, and there is nothing around it.
    verified: bool,
    /// From 0 to 1, with two digits: how much of the rim is clear, and how sharply the subject stands out.
    score: f64,
}

/// Less of a picture is no subject, or no background that went.
const SHARE_MIN: f64 = 0.005;
const CLEAR: u8 = 16;
const SOLID: u8 = 240;
/// Most of the rim has to be clear; a subject may touch it.
const CLEAR_RIM_MIN: f64 = 0.3;

impl Quality {
    fn of(image: &Image) -> Self {
        let (mut clear, mut solid, mut all) = (0_u64, 0_u64, 0_u64);
        let (mut clear_rim, mut rim) = (0_u64, 0_u64);
        let (width, height) = (image.width() as usize, image.height() as usize);
        for (at, [.., alpha]) in image.pixels().enumerate() {
            let (x, y) = (at % width, at / width);
            let is_clear = u64::from(alpha <= CLEAR);
            all += 1;
            clear += is_clear;
            solid += u64::from(alpha >= SOLID);
            if x == 0 || y == 0 || x + 1 == width || y + 1 == height {
                rim += 1;
                clear_rim += is_clear;
            }
        }
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        let (clear_share, solid_share) = (share(clear, all), share(solid, all));
        let rim_share = share(clear_rim, rim);
        let is_cut_out = clear_share >= SHARE_MIN && solid_share >= SHARE_MIN;
        let sharpness = clear_share + solid_share;
        let score = if is_cut_out {
            (rim_share + sharpness) / 2.0
        } else {
            0.0
        };
        Self {
            verified: is_cut_out && rim_share >= CLEAR_RIM_MIN,
            score: (score * 100.0).round() / 100.0,
        }
    }
}
