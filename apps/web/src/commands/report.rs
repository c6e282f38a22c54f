//! What an ingested brand looks like, for people.

use serde_json::Value;
use studio233_brand::{BrandDna, BrandSummary};

const LABEL_COLUMNS: usize = 12;
const TEXT_COLUMNS: usize = 88;
/// Rules of one kind that are shown; the profile has them all.
const RULES_MAX: usize = 6;

/// The profile, in lines. `colorful` shows each colour next to its code.
pub(super) fn profile(workspace: &Value, colorful: bool) -> Vec<String> {
    let dna: BrandDna = parse(&workspace["brandProfile"]);
    let summary: BrandSummary = parse(&workspace["brandSummary"]);
    let identity = &dna.core_identity;
    let mut lines = Vec::new();
    section(&mut lines, "Colours", &colors(identity, &summary, colorful));
    let fonts = identity.fonts.iter().map(|font| match font.usage.as_str() {
        "" => font.family.clone(),
        usage => format!("{} · {usage}", font.family),
    });
    section(&mut lines, "Fonts", &fonts.collect::<Vec<_>>());
    let slogans = identity.slogans.iter().map(|slogan| format!("“{slogan}”"));
    section(&mut lines, "Slogans", &slogans.collect::<Vec<_>>());
    section(&mut lines, "Logo", &identity.logos);
    section(&mut lines, "Layout", &dna.visual_style.layout_principles);
    section(&mut lines, "Imagery", &dna.visual_style.imagery_style);
    section(
        &mut lines,
        "Photography",
        &dna.visual_style.photography_guidelines,
    );
    section(&mut lines, "Vibe", &[dna.visual_style.vibe]);
    section(&mut lines, "Voice", &[dna.semantic_dna.tone_of_voice]);
    section(
        &mut lines,
        "Writing",
        &dna.semantic_dna.copywriting_guidelines,
    );
    section(&mut lines, "Manifesto", &[summary.manifesto]);
    section(&mut lines, "Read by", &[summary.generated_by]);
    lines
}

fn parse<T: serde::de::DeserializeOwned + Default>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_default()
}

fn colors(
    identity: &studio233_brand::CoreIdentity,
    summary: &BrandSummary,
    colorful: bool,
) -> Vec<String> {
    let described = |hex: &String| {
        let known = summary.palette.iter().find(|color| &color.hex == hex);
        let name = known.and_then(|color| color.name.as_deref()).unwrap_or("");
        let role = known.and_then(|color| color.role.as_deref());
        let role = role.map(|role| format!("({role})")).unwrap_or_default();
        let text = format!("{hex} {name} {role}");
        format!("{}{}", swatch(hex, colorful), text.trim_end())
    };
    identity.colors.iter().map(described).collect()
}

/// Two blanks on the colour.
fn swatch(hex: &str, colorful: bool) -> String {
    let part = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    match (part(1), part(3), part(5)) {
        (Some(r), Some(g), Some(b)) if colorful => format!("\x1b[48;2;{r};{g};{b}m  \x1b[0m "),
        _ => String::new(),
    }
}

fn section(lines: &mut Vec<String>, label: &str, items: &[String]) {
    let items: Vec<&String> = items.iter().filter(|item| !item.is_empty()).collect();
    let mut label = label;
    let mut put = |text: &str| {
        lines.push(format!("  {label:<LABEL_COLUMNS$}{text}"));
        label = "";
    };
    for item in items.iter().take(RULES_MAX) {
        for (number, line) in wrap(item, TEXT_COLUMNS).iter().enumerate() {
            let indent = if number > 0 { "  " } else { "" };
            put(&format!("{indent}{line}"));
        }
    }
    if items.len() > RULES_MAX {
        put(&format!("… and {} more", items.len() - RULES_MAX));
    }
}

/// Lines of at most `columns` characters, broken between words. Colour codes are no reason to break.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let starts_escape = line.contains('\x1b');
            let length = line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && length > columns && !starts_escape {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    lines
}

/// `4 ms`, `1.2 s`, `2 min 5 s`.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_profile_is_told_part_by_part() {
        let workspace = json!({
            "brandProfile": {"coreIdentity": {
                "colors": ["#112233", "#FFFFFF"],
                "fonts": [{"family": "Sora", "usage": "headings"}],
                "slogans": ["Light for all"],
            }},
            "brandSummary": {
                "palette": [{"hex": "#112233", "name": "Deep", "role": "primary"}],
                "generatedBy": "local",
            },
        });
        assert_eq!(
            profile(&workspace, false),
            [
                "  Colours     #112233 Deep (primary)",
                "              #FFFFFF",
                "  Fonts       Sora · headings",
                "  Slogans     “Light for all”",
                "  Read by     local",
            ]
        );
        assert!(profile(&workspace, true)[0].contains("\x1b[48;2;17;34;51m"));
    }

    #[test]
    fn long_texts_break_between_words() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("a\n\nb", 5), ["a", "b"]);
        assert_eq!(wrap("abcdefgh", 5), ["abcdefgh"]);
    }

    #[test]
    fn durations_are_short() {
        for (ms, text) in [(4, "4 ms"), (1_249, "1.2 s"), (125_000, "2 min 5 s")] {
            assert_eq!(duration(ms), text);
        }
    }
}
