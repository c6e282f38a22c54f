//! Sentences that say how the brand looks and speaks, by what they are about.

use super::language;
use super::sections::Section;
use super::topic::{self, Topic};
use std::collections::HashMap;

/// Rules kept per topic.
const RULES_MAX: usize = 12;

const RULE_WORDS: std::ops::RangeInclusive<usize> = 3..=48;

/// Longest slogan.
const SLOGAN_WORDS_MAX: usize = 10;

/// The rules of a document by topic, each in reading order.
pub(super) fn rules(sections: &[Section<'_>]) -> HashMap<Topic, Vec<String>> {
    collect(sections, topic_of)
}

/// What a text says of each topic, rules or not: for knowledge that was picked already.
pub(super) fn statements(sections: &[Section<'_>]) -> HashMap<Topic, Vec<String>> {
    collect(sections, |sentence, section| {
        topic_of(sentence, section).or_else(|| topic::of_sentence(sentence).first().copied())
    })
}

fn collect(
    sections: &[Section<'_>],
    topic_of: impl Fn(&str, &Section<'_>) -> Option<Topic>,
) -> HashMap<Topic, Vec<String>> {
    let mut rules: HashMap<Topic, Vec<String>> = HashMap::new();
    for section in sections {
        for block in &section.blocks {
            for sentence in language::sentences(&block.text) {
                let sentence = without_bullet(sentence);
                if !RULE_WORDS.contains(&sentence.split_whitespace().count()) {
                    continue;
                }
                let Some(topic) = topic_of(sentence, section) else {
                    continue;
                };
                let known = rules.entry(topic).or_default();
                if known.len() < RULES_MAX && !known.iter().any(|rule| rule == sentence) {
                    known.push(sentence.to_owned());
                }
            }
        }
    }
    rules
}

/// The section's topic; the words decide when it has several, and when it has none if the
/// sentence tells somebody to do something.
fn topic_of(sentence: &str, section: &Section<'_>) -> Option<Topic> {
    match section.topics.as_slice() {
        [] if is_normative(sentence) => topic::of_sentence(sentence).first().copied(),
        [] => None,
        [only] => Some(*only),
        several => {
            let spoken_of = topic::of_sentence(sentence);
            let named = several.iter().find(|topic| spoken_of.contains(topic));
            named.or(several.first()).copied()
        }
    }
}

const ORDERS: &[&str] = &[
    "align",
    "allow",
    "always",
    "apply",
    "avoid",
    "build",
    "choose",
    "combine",
    "do",
    "don’t",
    "don't",
    "draw",
    "ensure",
    "give",
    "hang",
    "keep",
    "leave",
    "let",
    "limit",
    "maintain",
    "make",
    "never",
    "only",
    "photograph",
    "place",
    "prefer",
    "set",
    "shoot",
    "show",
    "use",
    "write",
];

fn is_normative(sentence: &str) -> bool {
    let lower = sentence.to_lowercase();
    let first = lower
        .split_whitespace()
        .next()
        .unwrap_or("")
        .trim_matches([',', '“', '"']);
    ORDERS.contains(&first)
        || lower
            .split(|c: char| !c.is_alphabetic())
            .any(|word| matches!(word, "must" | "should" | "never" | "always"))
}

pub(super) fn without_bullet(text: &str) -> &str {
    text.trim_start_matches(|c: char| {
        matches!(
            c,
            '•' | '◦' | '▪' | '■' | '●' | '–' | '—' | '→' | '✓' | '✗' | '*'
        ) || c.is_whitespace()
    })
}

/// Slogans: quoted lines and short lines under a heading for slogans, and what a sentence
/// anywhere calls the slogan and quotes.
pub(super) fn slogans(sections: &[Section<'_>]) -> Vec<String> {
    let mut slogans: Vec<String> = Vec::new();
    let mut add = |slogan: &str| {
        let slogan = slogan.trim();
        let words = slogan.split_whitespace().count();
        if (1..=SLOGAN_WORDS_MAX).contains(&words) && !slogans.iter().any(|known| known == slogan) {
            slogans.push(slogan.to_owned());
        }
    };
    for section in sections {
        for block in &section.blocks {
            let text = without_bullet(&block.text);
            let quoted = quoted(text);
            if section.topics.contains(&Topic::Slogan) {
                if quoted.is_empty() && !is_normative(text) {
                    add(text);
                }
                quoted.into_iter().for_each(&mut add);
            } else if topic::of_heading(text).contains(&Topic::Slogan) {
                quoted.into_iter().for_each(&mut add);
            }
        }
    }
    slogans.truncate(RULES_MAX);
    slogans
}

fn quoted(text: &str) -> Vec<&str> {
    let mut quoted = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['“', '"', '„', '«']) {
        let after = &rest[open..];
        let inner = &after[after.chars().next().map_or(0, char::len_utf8)..];
        let Some(close) = inner.find(['”', '"', '“', '»']) else {
            break;
        };
        quoted.push(&inner[..close]);
        rest = &inner[close + inner[close..].chars().next().map_or(0, char::len_utf8)..];
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_of_all_kinds_are_found() {
        assert_eq!(
            quoted("Say “Power, shared.” or \"Own it\" or „Los“."),
            ["Power, shared.", "Own it", "Los"]
        );
        assert!(quoted("no “end").is_empty());
    }

    #[test]
    fn orders_are_told_from_statements() {
        for order in [
            "Never rotate it.",
            "The logo must stay upright.",
            "Keep it flat.",
            "Don’t stretch.",
        ] {
            assert!(is_normative(order), "{order}");
        }
        assert!(!is_normative("Ember is a warm orange."));
    }
}
