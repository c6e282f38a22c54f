use super::language;
use std::collections::HashMap;

/// Longest text looked at, in characters.
const TEXT_CHARS_MAX: usize = 200_000;

/// The sentences that say most of what a text says, in its own words and order.
///
/// A sentence scores the mean weight of its telling words, where a word weighs by how often the
/// text uses it (Luhn 1958, "The Automatic Creation of Literature Abstracts").
pub fn summarize(text: &str, sentences_max: usize) -> String {
    let cut = text
        .char_indices()
        .nth(TEXT_CHARS_MAX)
        .map_or(text.len(), |(at, _)| at);
    let sentences = language::sentences(&text[..cut]);
    let mut counts: HashMap<String, u32> = HashMap::new();
    for word in sentences
        .iter()
        .flat_map(|sentence| language::words(sentence))
    {
        if !language::is_stop_word(&word) && word.chars().count() > 2 {
            *counts.entry(word).or_default() += 1;
        }
    }
    let mut ranked: Vec<(usize, f32)> = Vec::new();
    for (at, sentence) in sentences.iter().enumerate() {
        let words: Vec<String> = language::words(sentence).collect();
        if !(5..=60).contains(&words.len()) {
            continue;
        }
        let weight: f32 = words
            .iter()
            .filter_map(|word| counts.get(word))
            .map(|count| (*count as f32).ln_1p())
            .sum();
        ranked.push((at, weight / (words.len() as f32).sqrt()));
    }
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut chosen: Vec<usize> = ranked
        .into_iter()
        .take(sentences_max)
        .map(|(at, _)| at)
        .collect();
    chosen.sort_unstable();
    chosen
        .into_iter()
        .map(|at| sentences[at])
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::summarize;

    #[test]
    fn the_sentences_about_the_subject_are_kept_in_order() {
        let text = "The lighthouse keeps ships from the rocks. It rained on Tuesday in a town far away. \
                    Ships trust the lighthouse and its keeper. Yes. The keeper lights the lighthouse for ships.";
        assert_eq!(
            summarize(text, 2),
            "Ships trust the lighthouse and its keeper. The keeper lights the lighthouse for ships."
        );
        assert_eq!(summarize("", 2), "");
    }
}
