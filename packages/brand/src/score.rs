use crate::BrandDna;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How complete a profile is, from 0 (nothing found) to 1 (every field found).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct QualityScore(f64);

impl QualityScore {
    /// The score as a number between 0 and 1.
    pub fn get(self) -> f64 {
        self.0
    }

    /// Strictly better than `threshold`.
    pub fn exceeds(self, threshold: f64) -> bool {
        self.0 > threshold
    }
}

impl std::fmt::Display for QualityScore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

/// A text says something only past this many characters ("n/a", "none" and "-" do not).
const TEXT_CHARS_MIN: usize = 5;

/// Weights in thousandths, so that sums are exact: all ten make 1000.
const IDENTITY_WEIGHT: u32 = 100;
const STYLE_WEIGHT: u32 = 75;
const VOICE_WEIGHT: u32 = 150;

impl BrandDna {
    /// How complete this profile is.
    pub fn quality_score(&self) -> QualityScore {
        let found = self.fields().filter(|field| field.found);
        let thousandths: u32 = found.map(|field| field.weight).sum();
        QualityScore(f64::from(thousandths.min(1000)) / 1000.0)
    }

    /// The wire paths of the fields that were found, in the order of the profile
    /// (`coreIdentity.colors`, …, `semanticDNA.copywritingGuidelines`).
    pub fn fields_extracted(&self) -> Vec<&'static str> {
        let found = self.fields().filter(|field| field.found);
        found.map(|field| field.path).collect()
    }

    fn fields(&self) -> impl Iterator<Item = Field> {
        let (identity, style, voice) =
            (&self.core_identity, &self.visual_style, &self.semantic_dna);
        [
            Field::new(
                "coreIdentity.colors",
                IDENTITY_WEIGHT,
                any(&identity.colors),
            ),
            Field::new(
                "coreIdentity.fonts",
                IDENTITY_WEIGHT,
                identity
                    .fonts
                    .iter()
                    .any(|font| !font.family.trim().is_empty()),
            ),
            Field::new("coreIdentity.logos", IDENTITY_WEIGHT, any(&identity.logos)),
            Field::new(
                "coreIdentity.slogans",
                IDENTITY_WEIGHT,
                any(&identity.slogans),
            ),
            Field::new(
                "visualStyle.layoutPrinciples",
                STYLE_WEIGHT,
                any(&style.layout_principles),
            ),
            Field::new(
                "visualStyle.imageryStyle",
                STYLE_WEIGHT,
                any(&style.imagery_style),
            ),
            Field::new(
                "visualStyle.photographyGuidelines",
                STYLE_WEIGHT,
                any(&style.photography_guidelines),
            ),
            Field::new(
                "visualStyle.vibe",
                STYLE_WEIGHT,
                says_something(&style.vibe),
            ),
            Field::new(
                "semanticDNA.toneOfVoice",
                VOICE_WEIGHT,
                says_something(&voice.tone_of_voice),
            ),
            Field::new(
                "semanticDNA.copywritingGuidelines",
                VOICE_WEIGHT,
                any(&voice.copywriting_guidelines),
            ),
        ]
        .into_iter()
    }
}

struct Field {
    path: &'static str,
    weight: u32,
    found: bool,
}

impl Field {
    fn new(path: &'static str, weight: u32, found: bool) -> Self {
        Self {
            path,
            weight,
            found,
        }
    }
}

fn any(texts: &[String]) -> bool {
    texts.iter().any(|text| !text.trim().is_empty())
}

fn says_something(text: &str) -> bool {
    text.trim().chars().count() > TEXT_CHARS_MIN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BrandFont;

    /// One named change to an empty profile.
    type Case = (&'static str, fn(&mut BrandDna), f64);

    fn list(text: &str) -> Vec<String> {
        vec![text.to_owned()]
    }

    const FIELDS: [Case; 10] = [
        (
            "coreIdentity.colors",
            |dna| dna.core_identity.colors = list("#112233"),
            0.1,
        ),
        (
            "coreIdentity.fonts",
            |dna| {
                dna.core_identity.fonts = vec![BrandFont {
                    family: "Sora".into(),
                    usage: "headlines".into(),
                }];
            },
            0.1,
        ),
        (
            "coreIdentity.logos",
            |dna| dna.core_identity.logos = list("a bird"),
            0.1,
        ),
        (
            "coreIdentity.slogans",
            |dna| dna.core_identity.slogans = list("Go."),
            0.1,
        ),
        (
            "visualStyle.layoutPrinciples",
            |dna| dna.visual_style.layout_principles = list("grid"),
            0.075,
        ),
        (
            "visualStyle.imageryStyle",
            |dna| dna.visual_style.imagery_style = list("warm"),
            0.075,
        ),
        (
            "visualStyle.photographyGuidelines",
            |dna| dna.visual_style.photography_guidelines = list("daylight"),
            0.075,
        ),
        (
            "visualStyle.vibe",
            |dna| dna.visual_style.vibe = "calm and warm".into(),
            0.075,
        ),
        (
            "semanticDNA.toneOfVoice",
            |dna| dna.semantic_dna.tone_of_voice = "plain, kind".into(),
            0.15,
        ),
        (
            "semanticDNA.copywritingGuidelines",
            |dna| dna.semantic_dna.copywriting_guidelines = list("be brief"),
            0.15,
        ),
    ];

    #[test]
    fn each_field_counts_by_its_weight_and_is_named() {
        for (path, fill, weight) in FIELDS {
            let mut dna = BrandDna::default();
            fill(&mut dna);
            assert_eq!(dna.quality_score().get(), weight, "{path}");
            assert_eq!(dna.fields_extracted(), [path]);
        }
    }

    #[test]
    fn a_full_profile_scores_one_and_an_empty_one_zero() {
        let mut dna = BrandDna::default();
        assert_eq!(dna.quality_score().get(), 0.0);
        assert!(dna.fields_extracted().is_empty());
        for (_, fill, _) in FIELDS {
            fill(&mut dna);
        }
        assert_eq!(dna.quality_score().get(), 1.0);
        assert_eq!(dna.fields_extracted().len(), 10);
    }

    #[test]
    fn what_says_nothing_does_not_count() {
        let nothing: [Case; 6] = [
            (
                "five characters",
                |dna| dna.visual_style.vibe = "calm!".into(),
                0.0,
            ),
            (
                "six characters",
                |dna| dna.visual_style.vibe = "calmly".into(),
                0.075,
            ),
            (
                "padded",
                |dna| dna.semantic_dna.tone_of_voice = "  n/a     ".into(),
                0.0,
            ),
            (
                "five letters of two bytes",
                |dna| dna.visual_style.vibe = "äöüßé".into(),
                0.0,
            ),
            (
                "blank entries",
                |dna| dna.core_identity.colors = list("  "),
                0.0,
            ),
            (
                "a font without a family",
                |dna| dna.core_identity.fonts = vec![BrandFont::default()],
                0.0,
            ),
        ];
        for (what, fill, score) in nothing {
            let mut dna = BrandDna::default();
            fill(&mut dna);
            assert_eq!(dna.quality_score().get(), score, "{what}");
        }
    }

    #[test]
    fn thresholds_are_exclusive() {
        let mut dna = BrandDna::default();
        dna.core_identity.colors = list("#112233");
        dna.core_identity.slogans = list("Go.");
        assert!(!dna.quality_score().exceeds(0.2));
        dna.visual_style.vibe = "calm and warm".into();
        assert!(dna.quality_score().exceeds(0.2));
    }

    #[test]
    fn the_wire_shape_is_the_studios() {
        let mut dna = BrandDna::default();
        for (_, fill, _) in FIELDS {
            fill(&mut dna);
        }
        let json = serde_json::to_value(&dna).unwrap();
        let expected = serde_json::json!({
            "coreIdentity": {
                "colors": ["#112233"],
                "fonts": [{"family": "Sora", "usage": "headlines"}],
                "logos": ["a bird"],
                "slogans": ["Go."],
            },
            "visualStyle": {
                "layoutPrinciples": ["grid"],
                "imageryStyle": ["warm"],
                "photographyGuidelines": ["daylight"],
                "vibe": "calm and warm",
            },
            "semanticDNA": {
                "toneOfVoice": "plain, kind",
                "copywritingGuidelines": ["be brief"],
            },
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<BrandDna>(json).unwrap(), dna);
    }

    #[test]
    fn a_partial_profile_reads_and_its_schema_names_the_fields() {
        let partial = r##"{"coreIdentity":{"colors":["#ABCDEF"]},"extra":1}"##;
        let dna: BrandDna = serde_json::from_str(partial).unwrap();
        assert_eq!(dna.core_identity.colors, ["#ABCDEF"]);
        let schema = serde_json::to_string(&schemars::schema_for!(BrandDna)).unwrap();
        for name in [
            "coreIdentity",
            "visualStyle",
            "semanticDNA",
            "copywritingGuidelines",
        ] {
            assert!(schema.contains(name), "{name} in {schema}");
        }
    }
}
