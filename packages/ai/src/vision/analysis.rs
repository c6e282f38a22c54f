//! The result of an analysis. Field names are the archive's, which other programs read, too.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// What is in an image.
///
/// Absent parts read as empty, and a null as absent, so that what other versions archived can be read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VisionAnalysis {
    #[serde(deserialize_with = "or_default")]
    pub meta: ImageMeta,
    #[serde(deserialize_with = "or_default")]
    pub global_context: GlobalContext,
    #[serde(deserialize_with = "or_default")]
    pub color_palette: ColorPalette,
    #[serde(deserialize_with = "or_default")]
    pub composition: Composition,
    #[serde(deserialize_with = "or_default")]
    pub objects: Vec<SeenObject>,
    #[serde(deserialize_with = "or_default")]
    pub text_ocr: TextOcr,
    /// How the objects belong together, a sentence each.
    #[serde(deserialize_with = "or_default")]
    pub semantic_relationships: Vec<String>,
}

impl VisionAnalysis {
    /// Whether it says anything. A cached or answered analysis that does not is as good as none.
    pub fn is_usable(&self) -> bool {
        !self.global_context.scene_description.trim().is_empty() || !self.objects.is_empty()
    }
}

/// What kind of image it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ImageMeta {
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "known_quality"
    )]
    #[schemars(with = "ImageQuality")]
    pub image_quality: Option<ImageQuality>,
    /// `photograph`, `illustration`, `logo`, `screenshot`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution_estimation: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImageQuality {
    Low,
    Medium,
    High,
}

/// The scene as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GlobalContext {
    #[serde(deserialize_with = "or_default")]
    pub scene_description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_of_day: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weather_atmosphere: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub lighting: Lighting,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Lighting {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color_temp: Option<String>,
}

/// Colours as `#RRGGBB`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ColorPalette {
    /// Those that cover most, the largest first.
    #[serde(deserialize_with = "or_default")]
    pub dominant_hex_estimates: Vec<String>,
    /// Those that cover little and catch the eye.
    #[serde(deserialize_with = "or_default")]
    pub accent_colors: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contrast_level: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Composition {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub camera_angle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth_of_field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub focal_point: Option<String>,
}

/// A thing in the image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SeenObject {
    /// Names it within this analysis.
    #[serde(deserialize_with = "text")]
    #[schemars(with = "String")]
    pub id: String,
    #[serde(deserialize_with = "or_default")]
    pub label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some_text"
    )]
    #[schemars(with = "Option<String>")]
    pub prominence: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub visual_attributes: VisualAttributes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_details: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pose_or_orientation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_content: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VisualAttributes {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub texture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub material: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dimensions_relative: Option<String>,
}

/// The text in the image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TextOcr {
    #[serde(deserialize_with = "or_default")]
    pub present: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Vec<OcrText>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OcrText {
    #[serde(deserialize_with = "or_default")]
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub font_style: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub legibility: Option<String>,
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    value: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(value)?.unwrap_or_default())
}

/// A quality that nobody knows says nothing; the rest of the analysis still does.
fn known_quality<'de, D: Deserializer<'de>>(value: D) -> Result<Option<ImageQuality>, D::Error> {
    let name = Option::<String>::deserialize(value)?;
    Ok(
        name.and_then(|name| match name.to_ascii_lowercase().as_str() {
            "low" => Some(ImageQuality::Low),
            "medium" => Some(ImageQuality::Medium),
            "high" => Some(ImageQuality::High),
            _ => None,
        }),
    )
}

/// Models count objects as often as they name them.
#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Text(String),
    Number(serde_json::Number),
}

fn some_text<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    let value = Option::<TextOrNumber>::deserialize(value)?;
    Ok(value.map(|value| match value {
        TextOrNumber::Text(text) => text,
        TextOrNumber::Number(number) => number.to_string(),
    }))
}

fn text<'de, D: Deserializer<'de>>(value: D) -> Result<String, D::Error> {
    Ok(some_text(value)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_names_on_the_wire_are_the_archives() {
        let full = json!({
            "meta": {"image_quality": "High", "image_type": "photograph", "resolution_estimation": "4000x3000"},
            "global_context": {
                "scene_description": "A desk.", "time_of_day": "morning", "weather_atmosphere": "clear",
                "lighting": {"source": "window", "direction": "left", "quality": "soft", "color_temp": "warm"}
            },
            "color_palette": {
                "dominant_hex_estimates": ["#112233"], "accent_colors": ["#FF0000"], "contrast_level": "high"
            },
            "composition": {
                "camera_angle": "eye level", "framing": "close", "depth_of_field": "shallow", "focal_point": "cup"
            },
            "objects": [{
                "id": "1", "label": "cup", "category": "tableware", "location": "centre", "prominence": "main",
                "visual_attributes": {
                    "color": "red", "texture": "smooth", "material": "clay", "state": "full",
                    "dimensions_relative": "small"
                },
                "micro_details": ["a chip"], "pose_or_orientation": "upright", "text_content": "MUG"
            }],
            "text_ocr": {
                "present": true,
                "content": [{"text": "MUG", "location": "cup", "font_style": "bold", "legibility": "good"}]
            },
            "semantic_relationships": ["the cup stands on the desk"]
        });
        let analysis: VisionAnalysis = serde_json::from_value(full.clone()).unwrap();
        assert_eq!(serde_json::to_value(&analysis).unwrap(), full);
        assert!(analysis.is_usable());
    }

    #[test]
    fn what_is_missing_null_or_a_number_does_not_spoil_the_rest() {
        let partial = json!({
            "meta": null,
            "global_context": {"scene_description": "A desk.", "lighting": null},
            "objects": [{"id": 1, "label": "cup", "prominence": 0.8, "visual_attributes": null}],
            "text_ocr": {"present": null}
        });
        let analysis: VisionAnalysis = serde_json::from_value(partial).unwrap();
        assert_eq!(analysis.objects[0].id, "1");
        assert_eq!(analysis.objects[0].prominence.as_deref(), Some("0.8"));
        let odd = json!({"meta": {"image_quality": "Superb"}});
        let analysis: VisionAnalysis = serde_json::from_value(odd).unwrap();
        assert_eq!(analysis.meta.image_quality, None);
        assert!(!analysis.is_usable());
    }

    #[test]
    fn the_schema_names_the_qualities_and_takes_ids_as_text() {
        let schema = crate::language_model::schema_of::<VisionAnalysis>();
        assert!(
            schema.to_string().contains(r#"["Low","Medium","High"]"#),
            "{schema}"
        );
        let object = &schema["properties"]["objects"]["items"]["properties"];
        assert_eq!(object["id"]["type"], "string");
    }
}
