use super::brand_reader::{joined, traits};
use super::topic::{self, Topic};
use super::{HINT, PROVIDER, rules, sections, summary, usage};
use crate::document::from_markdown;
use crate::{Answer, Document, LanguageError, LanguageModel, LanguageRequest};
use async_trait::async_trait;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::time::Instant;

/// Answers with sentences of the material, chosen by what they are about.
///
/// Properties of the schema are filled by their names: `manifesto` and texts that name nothing with what the material
/// says most of all, `voice`, `layoutPrinciples`, `photography` and the like with what it says of these, lists of
/// `{title, description}` with its rules by topic. The prompt is not followed, and images are not looked at. What would
/// take judgement, a number or a yes or no, is refused rather than guessed.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalLanguageModel;

const ITEMS_MAX: usize = 5;
const TEXT_CHARS_MAX: usize = 320;
const DESCRIPTION_CHARS_MAX: usize = 240;

/// Sentences kept of a topic, so that many fragments that say much do not take forever.
const STATEMENTS_MAX: usize = 64;

/// A paragraph of so few words, about a topic and without a full stop, is the heading of what follows.
const HEADING_WORDS_MAX: usize = 5;

/// Topics that a look is made of, in the order in which they tell most.
const LOOK: [Topic; 5] = [
    Topic::Imagery,
    Topic::Photography,
    Topic::Layout,
    Topic::Color,
    Topic::Type,
];

const PRINCIPLES: [(&str, Topic); 8] = [
    ("Logo", Topic::Logo),
    ("Colour", Topic::Color),
    ("Typography", Topic::Type),
    ("Layout", Topic::Layout),
    ("Imagery", Topic::Imagery),
    ("Photography", Topic::Photography),
    ("Voice", Topic::Voice),
    ("Writing", Topic::Writing),
];

#[async_trait]
impl LanguageModel for LocalLanguageModel {
    fn provider(&self) -> &str {
        PROVIDER
    }

    async fn generate(&self, request: &LanguageRequest) -> Result<Answer<Value>, LanguageError> {
        let started = Instant::now();
        let knowledge = Knowledge::of(&request.material);
        let value = knowledge.fill(&request.schema, "")?;
        Ok(Answer::new(value, usage("extractive summary", started)))
    }
}

struct Knowledge {
    text: String,
    statements: HashMap<Topic, Vec<String>>,
}

impl Knowledge {
    fn of(material: &[String]) -> Self {
        let mut statements: HashMap<Topic, Vec<String>> = HashMap::new();
        for text in material {
            // One by one: a fragment does not go on where another one ended.
            let document = from_markdown(&Document::default(), &[with_headings(text)]);
            for (topic, said) in rules::statements(&sections::sections(&document)) {
                let known = statements.entry(topic).or_default();
                for sentence in said {
                    if known.len() < STATEMENTS_MAX && !known.contains(&sentence) {
                        known.push(sentence);
                    }
                }
            }
        }
        Self {
            text: material.join("\n\n"),
            statements,
        }
    }

    /// The value for a schema; `path` is where it stands in the answer.
    fn fill(&self, schema: &Value, path: &str) -> Result<Value, LanguageError> {
        let name = path.rsplit('.').next().unwrap_or(path);
        let is_open = schema["enum"].is_null() && schema["const"].is_null();
        match type_of(schema) {
            Some("object") => self.object(schema, path),
            Some("string") if is_open => Ok(Value::String(self.text_for(name))),
            Some("array") => {
                let items = &schema["items"];
                let titled = items["properties"]["title"].is_object()
                    && items["properties"]["description"].is_object();
                match type_of(items) {
                    Some("string") => Ok(json!(self.list_for(name))),
                    _ if titled => Ok(json!(self.principles())),
                    // Nothing is known of such items, and an empty list claims nothing.
                    _ => Ok(json!([])),
                }
            }
            _ => Err(LanguageError::Unavailable {
                provider: PROVIDER.to_owned(),
                what: match path {
                    "" => "what is asked".to_owned(),
                    path => path.to_owned(),
                },
                hint: HINT,
            }),
        }
    }

    fn object(&self, schema: &Value, path: &str) -> Result<Value, LanguageError> {
        let mut object = Map::new();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let path = match path {
                "" => name.clone(),
                path => format!("{path}.{name}"),
            };
            object.insert(name.clone(), self.fill(schema, &path)?);
        }
        Ok(Value::Object(object))
    }

    fn text_for(&self, name: &str) -> String {
        let said = self.about(&topics_of(name));
        match said.is_empty() {
            true => summary::summarize(&self.text, 2),
            false => joined(&said, TEXT_CHARS_MAX),
        }
    }

    fn list_for(&self, name: &str) -> Vec<String> {
        let topics = topics_of(name);
        let mut items = match topics.as_slice() {
            [Topic::Voice] => traits(&self.about(&[Topic::Voice])),
            // One of each before a second of any.
            topics => {
                let by_topic: Vec<&[String]> = topics.iter().map(|topic| self.on(*topic)).collect();
                let longest = by_topic.iter().map(|said| said.len()).max().unwrap_or(0);
                (0..longest)
                    .flat_map(|at| by_topic.iter().filter_map(move |said| said.get(at)))
                    .cloned()
                    .collect()
            }
        };
        items.truncate(ITEMS_MAX);
        items
    }

    fn principles(&self) -> Vec<Value> {
        let known = PRINCIPLES
            .iter()
            .filter(|(_, topic)| !self.on(*topic).is_empty());
        let principles = known.map(|(title, topic)| {
            json!({"title": title, "description": joined(self.on(*topic), DESCRIPTION_CHARS_MAX)})
        });
        principles.collect()
    }

    fn about(&self, topics: &[Topic]) -> Vec<String> {
        topics
            .iter()
            .flat_map(|topic| self.on(*topic))
            .cloned()
            .collect()
    }

    fn on(&self, topic: Topic) -> &[String] {
        self.statements.get(&topic).map_or(&[], Vec::as_slice)
    }
}

/// `type`, also of what may be null instead.
fn type_of(schema: &Value) -> Option<&str> {
    match &schema["type"] {
        Value::String(name) => Some(name),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null"),
        _ => None,
    }
}

/// `photographyGuidelines`, `visual_dna`: what a name is about.
fn topics_of(name: &str) -> Vec<Topic> {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() || letter == '_' {
            words.push(' ');
        }
        words.extend(Some(letter).filter(|letter| *letter != '_'));
    }
    let words = words.to_lowercase();
    if words.starts_with("visual") || words.starts_with("look") {
        return LOOK.to_vec();
    }
    topic::of_heading(&words)
}

/// Fragments of documents have lost the sizes of their letters; short lines that name a topic are headings.
fn with_headings(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let line = paragraph.trim();
        let is_heading = !line.contains('\n')
            && line.split_whitespace().count() <= HEADING_WORDS_MAX
            && !line.ends_with(['.', '!', '?', ',', ';', ':'])
            && !line.starts_with(['#', '-', '*', '•'])
            && !topic::of_heading(line).is_empty();
        match is_heading {
            true => format!("## {line}"),
            false => paragraph.to_owned(),
        }
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthesize;
    use schemars::JsonSchema;

    fn fragments() -> Vec<String> {
        [
            "Who we are\n\nAcme makes hand tools that last a lifetime. We feel like a well kept workshop.",
            "Tone of voice\n\nOur voice is plain, warm and exact. Never shout at a reader.",
            "Photography\n\nShoot tools in use, in daylight. Keep hands in the picture.\n\n\
             Layout\n\nUse a grid of twelve columns. Leave generous margins around every picture.",
            "The logo stands alone. Keep clear space of one wordmark height around the logo.",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[tokio::test]
    async fn a_synthesis_is_made_of_what_the_fragments_say() {
        let answer = synthesize(&LocalLanguageModel, &fragments()).await.unwrap();
        let said = answer.value;
        assert!(
            said.manifesto.contains("hand tools that last a lifetime"),
            "{said:?}"
        );
        assert_eq!(said.voice, ["plain", "warm", "exact"]);
        assert!((3..=5).contains(&said.visual_dna.len()), "{said:?}");
        assert!(
            said.visual_dna
                .contains(&"Use a grid of twelve columns.".to_owned())
        );
        let titles: Vec<&str> = said.principles.iter().map(|p| p.title.as_str()).collect();
        assert_eq!(titles, ["Logo", "Layout", "Photography", "Voice"]);
        let every_word = fragments().join(" ");
        assert!(said.visual_dna.iter().all(|line| every_word.contains(line)));
        assert_eq!(answer.usage.provider, "local");
    }

    #[tokio::test]
    async fn nothing_is_made_of_nothing() {
        let error = synthesize(&LocalLanguageModel, &[]).await.unwrap_err();
        assert!(
            error.to_string().contains("says nothing about the brand"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_takes_judgement_is_refused() {
        #[derive(JsonSchema)]
        #[expect(dead_code, reason = "only its schema is used")]
        struct Review {
            summary: String,
            verdict: Verdict,
        }
        #[derive(JsonSchema)]
        #[expect(dead_code, reason = "only its schema is used")]
        struct Verdict {
            pass: bool,
        }
        let request = LanguageRequest::new::<Review>("Is it good?").material(fragments());
        let error = LocalLanguageModel.generate(&request).await.unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("local cannot decide verdict.pass; "),
            "{message}"
        );
        assert!(message.contains("GEMINI_API_KEY") && !error.is_transient());
    }
}
