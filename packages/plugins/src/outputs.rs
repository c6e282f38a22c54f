use sha2::{Digest, Sha256};
use studio233_blob::{InvalidKey, Key};

use crate::{Context, MediaFile};

/// Longest part of a key that is a text of someone else's.
const PART_BYTES_MAX: usize = 80;

/// Where a file that a node made is stored: `studio/runs/<run>/<node>/<position>-<hash>-<name>`.
///
/// It depends on the run, the node and the input only, so that a repeated run overwrites what it made before, and two nodes or two files
/// never meet.
pub(crate) fn key(
    context: &Context,
    position: usize,
    input: &MediaFile,
    name: &str,
) -> Result<Key, InvalidKey> {
    let run = part(&context.run_id);
    let node = part(&context.node_id);
    let hash = &hash(&input.id)[..12];
    let name = cleaned(name);
    Key::parse(&format!(
        "studio/runs/{run}/{node}/{position:04}-{hash}-{name}"
    ))
}

/// The id of a file that a node made of another; stable and unique like its key.
pub(crate) fn id(context: &Context, position: usize, input: &MediaFile) -> String {
    let hash = &hash(&input.id)[..12];
    format!("{}-{position:04}-{hash}", context.node_id)
}

/// A text as a part of a key: itself where it may be, else what is left of it and a hash, so that different texts stay different.
fn part(text: &str) -> String {
    let cleaned = cleaned(text);
    if cleaned == text && !text.contains('~') {
        return cleaned;
    }
    format!("{cleaned}~{}", &hash(text)[..16])
}

/// ASCII letters, digits and a few signs; never empty, too long, or beginning with a dot.
fn cleaned(text: &str) -> String {
    let allowed = |character: char| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' | '~' => character,
        _ => '_',
    };
    let cleaned: String = text.chars().map(allowed).collect();
    // ASCII by now. The end has the extension.
    let from = cleaned.len().saturating_sub(PART_BYTES_MAX);
    let cleaned = cleaned[from..].trim_start_matches('.');
    if cleaned.is_empty() {
        return "_".to_owned();
    }
    cleaned.to_owned()
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::Spending;

    fn context(run: &str, node: &str) -> Context {
        Context {
            run_id: run.to_owned(),
            workflow_id: "w".to_owned(),
            node_id: node.to_owned(),
            project_id: "p".to_owned(),
            user_id: "u".to_owned(),
            spending: Spending::default(),
        }
    }

    fn input(id: &str) -> MediaFile {
        MediaFile::coerce(&json!({"url": "u", "name": "n", "id": id})).unwrap()
    }

    #[test]
    fn an_ordinary_key_can_be_read() {
        let key = key(
            &context("run-1", "resize"),
            3,
            &input("a"),
            "photo_resized.jpg",
        )
        .unwrap();
        assert_eq!(
            key.as_str(),
            "studio/runs/run-1/resize/0003-ca978112ca1b-photo_resized.jpg"
        );
    }

    #[test]
    fn runs_whose_ids_look_alike_do_not_meet() {
        let of = |run: &str| key(&context(run, "n"), 0, &input("a"), "x.png").unwrap();
        let looks_like = of("a b").as_str().split('/').nth(2).unwrap().to_owned();
        let keys = ["a b", "a_b", "a/b", "", "_", "..", &looks_like].map(of);
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{key}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leads_out_of_its_run(run in ".{0,300}", node in ".{0,300}", id in ".*", name in ".{0,300}") {
            let key = key(&context(&run, &node), 9999, &input(&id), &name).unwrap();
            prop_assert!(key.as_str().starts_with("studio/runs/"));
            prop_assert_eq!(key.as_str().split('/').count(), 5);
        }
    }
}
