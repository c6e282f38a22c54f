/// What a node says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodeHints<'a> {
    pub id: &'a str,
    pub plugin_id: Option<&'a str>,
    /// The editor's kind, e.g. `trigger`.
    pub kind: Option<&'a str>,
    pub category: Option<&'a str>,
    pub label: Option<&'a str>,
}

/// Nothing about the node says what it does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node {node:?} has no plugin")]
pub struct NoPlugin {
    /// Its label, or its id.
    pub node: String,
}

/// Which words in a label stand for which plugin, the first that matches.
const BY_LABEL: [(&[&str], &str); 3] = [
    (&["remove bg", "remove background"], "background-removal"),
    (&["resize", "crop"], "image-resize"),
    (&["convert", "format"], "format-conversion"),
];

/// The id of a node's plugin: the one it names, else what its kind, category or label stand for. Whether there is such a
/// plugin is the registry's to say.
pub fn plugin_of<'a>(node: &NodeHints<'a>) -> Result<&'a str, NoPlugin> {
    if let Some(id) = node.plugin_id.filter(|id| !id.is_empty()) {
        return Ok(id);
    }
    if node.kind == Some("trigger") || node.category == Some("input") {
        return Ok("media-input");
    }
    let label = node.label.unwrap_or("").to_lowercase();
    let stands_for = BY_LABEL
        .iter()
        .find(|(words, _)| words.iter().any(|word| label.contains(word)));
    match stands_for {
        Some((_, id)) => Ok(id),
        None => Err(NoPlugin {
            node: match node.label {
                Some(label) if !label.is_empty() => label.to_owned(),
                _ => node.id.to_owned(),
            },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugin_is_the_named_one_or_inferred() {
        let node = NodeHints {
            id: "n1",
            ..NodeHints::default()
        };
        let labelled = |label| NodeHints {
            label: Some(label),
            ..node
        };
        let cases = [
            (
                NodeHints {
                    plugin_id: Some("image-upscale"),
                    kind: Some("trigger"),
                    ..node
                },
                Ok("image-upscale"),
            ),
            (
                NodeHints {
                    plugin_id: Some("no-such"),
                    ..node
                },
                Ok("no-such"),
            ),
            (
                NodeHints {
                    plugin_id: Some(""),
                    kind: Some("trigger"),
                    ..node
                },
                Ok("media-input"),
            ),
            (
                NodeHints {
                    kind: Some("trigger"),
                    label: Some("Resize"),
                    ..node
                },
                Ok("media-input"),
            ),
            (
                NodeHints {
                    category: Some("input"),
                    ..node
                },
                Ok("media-input"),
            ),
            (
                NodeHints {
                    category: Some("output"),
                    ..node
                },
                Err("n1"),
            ),
            (labelled("Remove BG"), Ok("background-removal")),
            (
                labelled("please remove background now"),
                Ok("background-removal"),
            ),
            (labelled("Resize for web"), Ok("image-resize")),
            (labelled("Smart Crop"), Ok("image-resize")),
            (labelled("Convert to WebP"), Ok("format-conversion")),
            (labelled("Format"), Ok("format-conversion")),
            (labelled("Resize and convert"), Ok("image-resize")),
            (labelled("Sparkle"), Err("Sparkle")),
            (labelled(""), Err("n1")),
            (node, Err("n1")),
        ];
        for (node, expected) in cases {
            let found = plugin_of(&node);
            let expected = expected.map_err(|node| NoPlugin {
                node: node.to_owned(),
            });
            assert_eq!(found, expected, "{node:?}");
        }
        let error = plugin_of(&labelled("Sparkle")).unwrap_err();
        assert_eq!(error.to_string(), "node \"Sparkle\" has no plugin");
    }
}
