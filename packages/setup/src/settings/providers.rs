//! Who does the work of AI: whoever there is a key for.

use super::{Hidden, bad, given, only_known};
use crate::Failure;
use std::collections::BTreeMap;
use studio233_ai::ApiKey;
use studio233_ai::fal::FalSettings;
use studio233_ai::gemini::{GeminiSettings, Models};
use studio233_ai::llama_parse::LlamaParseSettings;

/// Keys to services have the names that the services give them.
const GEMINI_KEYS: [&str; 2] = ["GOOGLE_GENERATIVE_AI_API_KEY", "GEMINI_API_KEY"];
const FAL_KEY: &str = "FAL_KEY";
const LLAMA_KEY: &str = "LLAMA_CLOUD_API_KEY";

/// Settings other than keys are `STUDIO233_` and the file's key in capitals.
const PREFIX: &str = "STUDIO233_";
const KNOWN: [&str; 13] = [
    "gemini_api_key",
    "fal_key",
    "llama_cloud_api_key",
    "language_model",
    "language_model_fallback",
    "image_model",
    "image_model_fallback",
    "embedding_model",
    "gemini_base_url",
    "fal_base_url",
    "fal_background_model",
    "llama_parse_base_url",
    "llama_parse_tier",
];

/// As the name of a fallback: there is none. As the name of the embedding model: the local one.
const NONE: &str = "none";
const LOCAL: &str = "local";

/// Services that there are keys for. What no service does, the local provider does.
#[derive(Debug, Clone, Default)]
pub struct Providers {
    /// Language, vision, images and embeddings.
    pub gemini: Option<GeminiProvider>,
    /// Backgrounds.
    pub fal: Option<(ApiKey, FalSettings)>,
    /// Documents.
    pub llama_parse: Option<(ApiKey, LlamaParseSettings)>,
}

/// The key to Gemini, and what is asked of it.
#[derive(Debug, Clone)]
pub struct GeminiProvider {
    /// The key.
    pub key: ApiKey,
    /// Where it is, and which models.
    pub settings: GeminiSettings,
    /// Whether it embeds, too; else the local provider does.
    pub embeds: bool,
}

impl Providers {
    /// Whether there is no key at all.
    #[must_use]
    pub fn are_local(&self) -> bool {
        self.gemini.is_none() && self.fal.is_none() && self.llama_parse.is_none()
    }
}

pub(super) fn read(
    file: &BTreeMap<String, Hidden>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Providers, Failure> {
    only_known("ai", file, &KNOWN)?;
    let key = |variables: &[&str], in_file: &str| {
        let found = variables.iter().find_map(|variable| {
            let text = given(&BTreeMap::new(), &environment, variable, "")?;
            Some((*variable, text))
        });
        let of_file = || Some((variables[0], given(file, |_| None, "", in_file)?));
        let Some((variable, text)) = found.or_else(of_file) else {
            return Ok(None);
        };
        let key = ApiKey::new(&text).map_err(|error| bad(format!("{variable}: {error}")))?;
        Ok(Some(key))
    };
    let setting = |name: &str| {
        let variable = format!("{PREFIX}{}", name.to_ascii_uppercase());
        given(file, &environment, &variable, name)
    };
    let models = |name: &str, default: Models| Models {
        primary: setting(name).unwrap_or(default.primary),
        fallback: match setting(&format!("{name}_fallback")) {
            Some(fallback) => (fallback != NONE).then_some(fallback),
            None => default.fallback,
        },
    };

    let gemini = key(&GEMINI_KEYS, "gemini_api_key")?.map(|key| {
        let default = GeminiSettings::default();
        let embedding = setting("embedding_model");
        let embeds = embedding.as_deref() != Some(LOCAL);
        GeminiProvider {
            key,
            embeds,
            settings: GeminiSettings {
                base_url: setting("gemini_base_url").unwrap_or(default.base_url),
                language: models("language_model", default.language),
                image: models("image_model", default.image),
                embedding: embedding.filter(|_| embeds).unwrap_or(default.embedding),
                embedding_timeout: default.embedding_timeout,
            },
        }
    });
    let fal = key(&[FAL_KEY], "fal_key")?.map(|key| {
        let default = FalSettings::default();
        let settings = FalSettings {
            base_url: setting("fal_base_url").unwrap_or(default.base_url),
            background_removal: setting("fal_background_model")
                .unwrap_or(default.background_removal),
            ..FalSettings::default()
        };
        (key, settings)
    });
    let llama_parse = key(&[LLAMA_KEY], "llama_cloud_api_key")?.map(|key| {
        let default = LlamaParseSettings::default();
        let settings = LlamaParseSettings {
            base_url: setting("llama_parse_base_url").unwrap_or(default.base_url),
            tier: setting("llama_parse_tier").unwrap_or(default.tier),
            ..LlamaParseSettings::default()
        };
        (key, settings)
    });
    Ok(Providers {
        gemini,
        fal,
        llama_parse,
    })
}
