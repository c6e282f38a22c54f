use sha2::{Digest, Sha256};

/// What a workspace's name is known by, the same for names that differ only in case and punctuation: `My Brand!` →
/// `my-brand`. A name without letters or digits gets one from its hash.
#[must_use]
pub fn workspace_slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars().flat_map(char::to_lowercase) {
        if letter.is_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        let hash = hex::encode(Sha256::digest(name));
        return format!("workspace-{}", &hash[..8]);
    }
    slug.to_owned()
}

#[cfg(test)]
mod tests {
    use super::workspace_slug;

    #[test]
    fn names_become_slugs() {
        for (name, expected) in [
            ("default", "default"),
            ("  My  Brand! ", "my-brand"),
            ("Ärzte & Söhne", "ärzte-söhne"),
            ("日本", "日本"),
        ] {
            assert_eq!(workspace_slug(name), expected);
            assert_eq!(workspace_slug(expected), expected);
        }
        assert!(workspace_slug("!!!").starts_with("workspace-"));
        assert_ne!(workspace_slug("!!!"), workspace_slug("???"));
    }
}
