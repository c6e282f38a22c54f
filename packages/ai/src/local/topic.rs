use super::language;

/// What a section or a sentence is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    Essence,
    Logo,
    Slogan,
    Color,
    Type,
    Layout,
    Imagery,
    Photography,
    Voice,
    Writing,
    /// Samples of good and bad, which are not rules themselves.
    Example,
}

use Topic::{
    Color, Essence, Example, Imagery, Layout, Logo, Photography, Slogan, Type, Voice, Writing,
};

/// Phrases of stemmed words, the more telling ones first. A heading may have several topics.
const HEADINGS: &[(&str, Topic)] = &[
    ("clear space", Logo),
    ("exclusion zone", Logo),
    ("tone of voice", Voice),
    ("white space", Layout),
    ("who we are", Essence),
    ("what we stand for", Essence),
    ("we say", Example),
    ("word we use", Writing),
    ("art direction", Photography),
    ("image style", Imagery),
    ("logo", Logo),
    ("logotype", Logo),
    ("wordmark", Logo),
    ("mark", Logo),
    ("emblem", Logo),
    ("symbol", Logo),
    ("slogan", Slogan),
    ("tagline", Slogan),
    ("strapline", Slogan),
    ("endline", Slogan),
    ("motto", Slogan),
    ("claim", Slogan),
    ("colour", Color),
    ("palette", Color),
    ("swatch", Color),
    ("typography", Type),
    ("typeface", Type),
    ("font", Type),
    ("type", Type),
    ("headline", Type),
    ("layout", Layout),
    ("grid", Layout),
    ("composition", Layout),
    ("spacing", Layout),
    ("margin", Layout),
    ("photography", Photography),
    ("photograph", Photography),
    ("photo", Photography),
    ("imagery", Imagery),
    ("image", Imagery),
    ("illustration", Imagery),
    ("icon", Imagery),
    ("iconography", Imagery),
    ("graphic", Imagery),
    ("pattern", Imagery),
    ("voice", Voice),
    ("tone", Voice),
    ("copywriting", Writing),
    ("copy", Writing),
    ("writing", Writing),
    ("language", Writing),
    ("editorial", Writing),
    ("grammar", Writing),
    ("essence", Essence),
    ("story", Essence),
    ("mission", Essence),
    ("vision", Essence),
    ("value", Essence),
    ("personality", Essence),
    ("promise", Essence),
    ("purpose", Essence),
    ("manifesto", Essence),
    ("mood", Essence),
    ("vibe", Essence),
    ("about", Essence),
];

/// Words of sentences, for rules under headings that say nothing or several things.
const SENTENCES: &[(&str, Topic)] = &[
    ("logo", Logo),
    ("wordmark", Logo),
    ("photograph", Photography),
    ("photography", Photography),
    ("photo", Photography),
    ("shoot", Photography),
    ("lens", Photography),
    ("camera", Photography),
    ("portrait", Photography),
    ("illustration", Imagery),
    ("imagery", Imagery),
    ("icon", Imagery),
    ("image", Imagery),
    ("grid", Layout),
    ("layout", Layout),
    ("margin", Layout),
    ("column", Layout),
    ("white space", Layout),
    ("typeface", Type),
    ("font", Type),
    ("colour", Color),
    ("sentence", Writing),
    ("headline", Writing),
    ("jargon", Writing),
    ("word", Writing),
    ("write", Writing),
    ("reader", Writing),
    ("voice", Voice),
    ("tone", Voice),
];

/// The topics a heading names, in the order of the vocabulary.
pub(super) fn of_heading(heading: &str) -> Vec<Topic> {
    matches(heading, HEADINGS)
}

/// The topics the words of a sentence speak of.
pub(super) fn of_sentence(sentence: &str) -> Vec<Topic> {
    matches(sentence, SENTENCES)
}

fn matches(text: &str, vocabulary: &[(&str, Topic)]) -> Vec<Topic> {
    let text = format!(" {} ", language::words(text).collect::<Vec<_>>().join(" "));
    let mut topics = Vec::new();
    for (phrase, topic) in vocabulary {
        if !topics.contains(topic) && text.contains(&format!(" {phrase} ")) {
            topics.push(*topic);
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_name_their_topics() {
        let cases: [(&str, &[Topic]); 9] = [
            ("Our Colors", &[Color]),
            ("Tone of voice", &[Voice]),
            ("Imagery and photography", &[Photography, Imagery]),
            ("Clear space and size", &[Logo]),
            ("Typefaces", &[Type]),
            ("Copywriting rules", &[Writing]),
            ("Who we are", &[Essence]),
            ("We say, we do not say", &[Example]),
            ("Chapter 3", &[]),
        ];
        for (heading, topics) in cases {
            assert_eq!(of_heading(heading), topics, "{heading}");
        }
    }
}
