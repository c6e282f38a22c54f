//! What becomes of a profile that was read in a document.

use crate::events::brand::KnowledgeIngested;
use serde_json::Value;
use studio233_ai::document::{Block, Page};
use studio233_ai::{BrandReading, Document};

/// What was read in a document of pictures, as a document that can be indexed, a kind of facts a paragraph. Its own pages
/// say nothing that could be found.
pub(super) fn document(event: &KnowledgeIngested, reading: &BrandReading) -> Document {
    let (dna, summary) = (&reading.dna, &reading.summary);
    let fonts = dna.core_identity.fonts.iter();
    let fonts: Vec<String> = fonts
        .map(|font| format!("{} {}", font.family, font.usage))
        .collect();
    let one = |text: &String| vec![text.clone()];
    let facts = [
        ("Colours", dna.core_identity.colors.clone()),
        ("Fonts", fonts),
        ("Logo", dna.core_identity.logos.clone()),
        ("Slogans", dna.core_identity.slogans.clone()),
        ("Layout", dna.visual_style.layout_principles.clone()),
        ("Imagery", dna.visual_style.imagery_style.clone()),
        (
            "Photography",
            dna.visual_style.photography_guidelines.clone(),
        ),
        ("Look", one(&dna.visual_style.vibe)),
        ("Voice", one(&dna.semantic_dna.tone_of_voice)),
        ("Writing", dna.semantic_dna.copywriting_guidelines.clone()),
        ("Manifesto", one(&summary.manifesto)),
    ];
    let block = |(name, facts): (&str, Vec<String>)| {
        let facts: Vec<&str> = facts
            .iter()
            .map(|fact| fact.trim())
            .filter(|fact| !fact.is_empty())
            .collect();
        (!facts.is_empty()).then(|| Block {
            text: format!("{name}: {}", facts.join(" ")),
            ..Block::default()
        })
    };
    let page = Page {
        number: 1,
        blocks: facts.into_iter().filter_map(block).collect(),
        ..Page::default()
    };
    Document {
        filename: event.filename.clone(),
        pages: vec![page],
        ..Document::default()
    }
}

/// The profile and its summary as they are written over those that are known: a document that names no colours says nothing
/// against those that the brand's images or another document gave.
pub(super) fn keeping_colors(
    (mut profile, mut summary): (Value, Value),
    [known_profile, known_summary]: [Option<Value>; 2],
) -> (Value, Value) {
    let known = known_profile.as_ref().and_then(colors);
    if let (None, Some(known)) = (colors(&profile), known) {
        profile["coreIdentity"]["colors"] = known.clone();
        let palette = known_summary
            .as_ref()
            .and_then(|known| known.get("palette"));
        if let Some(palette) = palette {
            summary["palette"] = palette.clone();
        }
    }
    (profile, summary)
}

/// A profile's colours, if it has any.
fn colors(profile: &Value) -> Option<&Value> {
    let colors = profile.pointer("/coreIdentity/colors")?;
    let names = |color: &Value| color.as_str().is_some_and(|color| !color.trim().is_empty());
    colors.as_array()?.iter().any(names).then_some(colors)
}
