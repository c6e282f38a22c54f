//! Words and sentences.

/// Words that say nothing about what a text is about. Sorted.
const STOP_WORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "because",
    "been", "before", "but", "by", "can", "do", "does", "each", "every", "few", "for", "from",
    "had", "has", "have", "he", "her", "here", "his", "how", "i", "if", "in", "into", "is", "it",
    "its", "just", "like", "many", "may", "me", "more", "most", "much", "my", "no", "not", "of",
    "on", "one", "only", "or", "other", "our", "out", "over", "own", "she", "should", "so", "some",
    "such", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this",
    "those", "to", "too", "under", "up", "us", "very", "was", "we", "were", "what", "when",
    "where", "which", "who", "why", "will", "with", "would", "you", "your",
];

pub(crate) fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// The words of a text in lower case, in one spelling and one number, so that "Colors" and
/// "colour" are the same word.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    raw_words(text).map(|word| stem(&word))
}

fn raw_words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '’')
        .map(|word| word.trim_matches(['\'', '’']).to_lowercase())
        .map(|word| match word.split_once(['\'', '’']) {
            Some((before, "s")) => before.to_owned(),
            _ => word,
        })
        .filter(|word| !word.is_empty())
}

/// Folds American to British spelling where they differ by rule, and plurals to singulars.
fn stem(word: &str) -> String {
    if !word.is_ascii() || word.len() < 4 {
        return word.to_owned();
    }
    let mut word = word.to_owned();
    for (american, british) in [
        ("color", "colour"),
        ("gray", "grey"),
        ("center", "centre"),
        ("favorite", "favourite"),
        ("behavior", "behaviour"),
        ("catalog", "catalogue"),
    ] {
        if word.starts_with(american) && !word.starts_with(british) {
            word.replace_range(..american.len(), british);
        }
    }
    if let Some(base) = word
        .strip_suffix("izing")
        .or_else(|| word.strip_suffix("ising"))
    {
        return format!("{base}ise");
    }
    if let Some(base) = word.strip_suffix("ize") {
        return format!("{base}ise");
    }
    if let Some(base) = word.strip_suffix("ies").filter(|base| base.len() >= 3) {
        return format!("{base}y");
    }
    for ending in ["sses", "shes", "ches", "xes"] {
        if word.ends_with(ending) {
            word.truncate(word.len() - 2);
            return word;
        }
    }
    if word.ends_with('s')
        && !word.ends_with("ss")
        && !word.ends_with("us")
        && !word.ends_with("is")
    {
        word.pop();
    }
    word
}

/// The sentences of a text. A full stop ends one before a space and something that starts anew,
/// and not after an abbreviation or within a number.
pub(crate) fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        if !matches!(c, '.' | '!' | '?' | '…' | '•' | '\n') {
            continue;
        }
        if matches!(c, '•' | '\n') {
            push(&mut sentences, &text[start..at]);
            start = at + c.len_utf8();
            continue;
        }
        let mut end = at + c.len_utf8();
        while let Some((_, closing)) =
            rest.next_if(|(_, c)| matches!(c, '”' | '"' | '’' | ')' | '.' | '!' | '?'))
        {
            end += closing.len_utf8();
        }
        let after = &text[end..];
        let next = after.trim_start().chars().next();
        let starts_anew = after.is_empty()
            || after.starts_with(char::is_whitespace) && next.is_none_or(|c| !c.is_lowercase());
        if starts_anew && !(c == '.' && ends_in_abbreviation(&text[start..end])) {
            push(&mut sentences, &text[start..end]);
            start = end;
        }
    }
    push(&mut sentences, &text[start..]);
    sentences
}

fn push<'t>(sentences: &mut Vec<&'t str>, sentence: &'t str) {
    let sentence = sentence.trim();
    if !sentence.is_empty() {
        sentences.push(sentence);
    }
}

fn ends_in_abbreviation(sentence: &str) -> bool {
    let last = sentence.rsplit(char::is_whitespace).next().unwrap_or("");
    let last = last.trim_start_matches(['(', '“', '"']);
    matches!(
        last,
        "e.g."
            | "i.e."
            | "etc."
            | "vs."
            | "approx."
            | "no."
            | "No."
            | "Mr."
            | "Mrs."
            | "Dr."
            | "St."
    ) || last.len() == 2 && last.starts_with(|c: char| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_and_number_do_not_matter() {
        let cases = [
            ("Colors", "colour"),
            ("COLOUR", "colour"),
            ("gray", "grey"),
            ("colorful", "colourful"),
            ("organizing", "organise"),
            ("photographies", "photography"),
            ("boxes", "box"),
            ("glass", "glass"),
            ("brand's", "brand"),
            ("is", "is"),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text).collect::<Vec<_>>(), [expected], "{text}");
        }
        assert_eq!(
            words("#E4572E, R228").collect::<Vec<_>>(),
            ["e4572e", "r228"]
        );
    }

    #[test]
    fn sentences_end_where_people_end_them() {
        let text =
            "Use 1.5 units, e.g. Around it. “Never alone.” Then stop! ok? yes • One\nTwo J. Smith.";
        assert_eq!(
            sentences(text),
            [
                "Use 1.5 units, e.g. Around it.",
                "“Never alone.”",
                "Then stop! ok? yes",
                "One",
                "Two J. Smith."
            ]
        );
        assert!(sentences(" \n ").is_empty());
    }

    #[test]
    fn stop_words_are_sorted_for_the_search() {
        assert!(STOP_WORDS.is_sorted());
        assert!(is_stop_word("the") && !is_stop_word("brand"));
    }
}
