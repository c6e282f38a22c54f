//! What an image's analysis says about a brand: a text that can be found, and colours.

use serde_json::{Value, json};
use studio233_ai::document::Rgb;
use studio233_ai::vision::{SeenObject, VisionAnalysis};
use studio233_brand::BrandDna;

/// Objects that are told of; an analysis may name more than anybody asks for.
const OBJECTS_MAX: usize = 24;

/// One fact, and the whole text: an embedding of more says less.
const FACT_CHARACTERS_MAX: usize = 400;
const TEXT_CHARACTERS_MAX: usize = 6_000;

/// The colour that profiles have which nobody has given one.
const PLACEHOLDER: &str = "#111111";

/// The "visual DNA" of an image, a fact a line. What the analysis does not say is left out.
pub(super) fn text(filename: &str, classification: &str, analysis: &VisionAnalysis) -> String {
    let global = &analysis.global_context;
    let lighting = &global.lighting;
    let composition = &analysis.composition;
    let palette = &analysis.color_palette;
    let objects: Vec<String> = analysis
        .objects
        .iter()
        .take(OBJECTS_MAX)
        .map(object)
        .collect();
    let words = analysis.text_ocr.content.iter().flatten();
    let words: Vec<&str> = words.map(|word| word.text.as_str()).collect();
    let facts = [
        ("Identity", filename.to_owned()),
        ("Class", classification.to_owned()),
        ("Kind", or_empty(&analysis.meta.image_type)),
        ("Scene", global.scene_description.clone()),
        (
            "Aesthetic",
            joined([
                &global.time_of_day,
                &global.weather_atmosphere,
                &lighting.source,
                &lighting.direction,
                &lighting.quality,
                &lighting.color_temp,
                &palette.contrast_level,
            ]),
        ),
        ("Objects", objects.join("; ")),
        ("Text", words.join("; ")),
        ("Palette", palette.dominant_hex_estimates.join(", ")),
        ("Accents", palette.accent_colors.join(", ")),
        (
            "Composition",
            joined([
                &composition.camera_angle,
                &composition.framing,
                &composition.depth_of_field,
                &composition.focal_point,
            ]),
        ),
        ("Relations", analysis.semantic_relationships.join("; ")),
    ];
    let mut text = "Visual DNA".to_owned();
    for (name, fact) in facts {
        let fact = one_line(&fact, FACT_CHARACTERS_MAX);
        if !fact.is_empty() {
            text.push_str(&format!("\n{name}: {fact}"));
        }
    }
    text.chars().take(TEXT_CHARACTERS_MAX).collect()
}

fn object(object: &SeenObject) -> String {
    let attributes = &object.visual_attributes;
    let looks = joined([
        &attributes.color,
        &attributes.material,
        &attributes.texture,
        &attributes.state,
    ]);
    match looks.is_empty() {
        true => object.label.clone(),
        false => format!("{} ({looks})", object.label),
    }
}

fn or_empty(fact: &Option<String>) -> String {
    fact.clone().unwrap_or_default()
}

fn joined<const N: usize>(facts: [&Option<String>; N]) -> String {
    let facts = facts
        .into_iter()
        .flatten()
        .filter(|fact| !fact.trim().is_empty());
    facts.map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn one_line(text: &str, characters_max: usize) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(characters_max).collect()
}

/// The primary colour and the accent that an image suggests, as `#RRGGBB`. Whites, greys and blacks are what most images are
/// made of and few brands are known by: they count only where there is nothing else.
pub(super) fn suggested(analysis: &VisionAnalysis) -> Vec<String> {
    let parsed =
        |texts: &[String]| -> Vec<Rgb> { texts.iter().filter_map(|text| rgb(text)).collect() };
    let dominant = parsed(&analysis.color_palette.dominant_hex_estimates);
    let (neutral, chromatic): (Vec<Rgb>, Vec<Rgb>) =
        dominant.into_iter().partition(|color| color.is_neutral());
    // A brand in black and white may well have an accent; its primary is dominant, whatever it is.
    let primary = chromatic.first().or(neutral.first()).copied();
    let accents = parsed(&analysis.color_palette.accent_colors);
    let others = chromatic.into_iter().skip(1).chain(accents).chain(neutral);
    let mut colors: Vec<Rgb> = primary.into_iter().collect();
    for color in others {
        if colors.len() == 2 {
            break;
        }
        if !colors.is_empty() && !colors.contains(&color) {
            colors.push(color);
        }
    }
    colors.into_iter().map(Rgb::hex).collect()
}

/// `#RRGGBB` or `#RGB`, in either case.
fn rgb(text: &str) -> Option<Rgb> {
    let digits = text.trim().strip_prefix('#')?;
    let long = match digits.len() {
        6 => digits.to_owned(),
        3 => digits.chars().flat_map(|digit| [digit, digit]).collect(),
        _ => return None,
    };
    if !long.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let [_, r, g, b] = u32::from_str_radix(&long, 16).ok()?.to_be_bytes();
    Some(Rgb::new(r, g, b))
}

/// A profile's primary colour and its accent.
pub(super) fn of_profile(profile: Option<&Value>) -> Vec<String> {
    let colors = profile.and_then(|profile| profile.pointer("/coreIdentity/colors"));
    let colors = colors.and_then(Value::as_array).into_iter().flatten();
    let colors = colors
        .filter_map(Value::as_str)
        .filter(|color| !color.trim().is_empty());
    colors.take(2).map(str::to_owned).collect()
}

/// The profile with these colours in front; none when it has a primary colour of its own, or there are none.
pub(super) fn with_colors(profile: Option<Value>, suggested: &[String]) -> Option<Value> {
    let known = of_profile(profile.as_ref());
    let is_own = |color: &String| !color.eq_ignore_ascii_case(PLACEHOLDER);
    if suggested.is_empty() || known.first().is_some_and(is_own) {
        return None;
    }
    let empty = || serde_json::to_value(BrandDna::default()).expect("a profile is JSON");
    let mut profile = profile.filter(Value::is_object).unwrap_or_else(empty);
    let core = &mut profile["coreIdentity"];
    if !core.is_object() {
        *core = json!({});
    }
    let others = core["colors"].as_array().into_iter().flatten();
    let others = others.filter_map(Value::as_str).filter(|color| {
        let repeats = suggested.iter().any(|new| new.eq_ignore_ascii_case(color));
        !repeats && !color.eq_ignore_ascii_case(PLACEHOLDER) && !color.trim().is_empty()
    });
    let colors: Vec<Value> = suggested
        .iter()
        .map(String::as_str)
        .chain(others)
        .map(Value::from)
        .collect();
    core["colors"] = colors.into();
    Some(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn analysis(dominant: &[&str], accents: &[&str]) -> VisionAnalysis {
        serde_json::from_value(json!({
            "color_palette": {"dominant_hex_estimates": dominant, "accent_colors": accents}
        }))
        .unwrap()
    }

    #[test]
    fn colours_come_before_greys_and_dominant_ones_before_accents() {
        for (dominant, accents, expected) in [
            (
                &["#ffffff", "#e4572e", "#17324d"][..],
                &[][..],
                &["#E4572E", "#17324D"][..],
            ),
            (&["#FFFFFF", "#E4572E"], &["#FC0"], &["#E4572E", "#FFCC00"]),
            (
                &["#FFFFFF", "#000000"],
                &["#FF0000"],
                &["#FFFFFF", "#FF0000"],
            ),
            (&["#000000", "#FFFFFF"], &[], &["#000000", "#FFFFFF"]),
            (&["#E4572E", "#e4572e"], &[], &["#E4572E"]),
            (&["red", "#12", "#gggggg", "e4572e"], &["#FF0000"], &[]),
            (&[], &[], &[]),
        ] {
            assert_eq!(
                suggested(&analysis(dominant, accents)),
                expected,
                "{dominant:?}"
            );
        }
    }

    #[test]
    fn only_a_profile_without_a_primary_colour_gets_one() {
        let new = ["#E4572E".to_owned(), "#17324D".to_owned()];
        let with = |profile: Option<Value>| with_colors(profile, &new);
        let own = json!({"coreIdentity": {"colors": ["#ABCDEF"]}});
        assert_eq!(with(Some(own.clone())), None);
        assert_eq!(with_colors(None, &[]), None);

        let made = with(None).unwrap();
        assert_eq!(of_profile(Some(&made)), new);
        serde_json::from_value::<BrandDna>(made).unwrap();
        let placeholder = json!({
            "coreIdentity": {"colors": ["#111111", "#e4572e", "#00FF00"], "slogans": ["More."]},
            "own": 1
        });
        let changed = with(Some(placeholder)).unwrap();
        assert_eq!(
            changed,
            json!({
                "coreIdentity": {"colors": ["#E4572E", "#17324D", "#00FF00"], "slogans": ["More."]},
                "own": 1
            })
        );
        assert_eq!(with(Some(changed)), None, "what was done is not done again");
        assert!(with(Some(json!({"coreIdentity": null}))).is_some());
        assert!(with(Some(json!("odd"))).is_some());
    }

    #[test]
    fn the_text_says_what_there_is_and_has_an_end() {
        let seen = json!({
            "meta": {"image_type": "logo"},
            "global_context": {"scene_description": "A tree\non white.", "lighting": {"quality": "soft"}},
            "color_palette": {"dominant_hex_estimates": ["#123456"]},
            "composition": {"framing": "close"},
            "objects": [{"id": "1", "label": "tree", "visual_attributes": {"color": "green"}}, {"id": "2", "label": "word"}],
            "text_ocr": {"present": true, "content": [{"text": "ROOT"}]}
        });
        let seen: VisionAnalysis = serde_json::from_value(seen).unwrap();
        assert_eq!(
            text("logo.png", "CORE_BRAND_MARK", &seen),
            "Visual DNA\nIdentity: logo.png\nClass: CORE_BRAND_MARK\nKind: logo\nScene: A tree on white.\n\
             Aesthetic: soft\nObjects: tree (green); word\nText: ROOT\nPalette: #123456\nComposition: close"
        );
        let mut long = seen;
        long.global_context.scene_description = "very ".repeat(10_000);
        long.objects = vec![long.objects[0].clone(); 10_000];
        assert!(text("a", "b", &long).chars().count() <= TEXT_CHARACTERS_MAX);
    }
}
