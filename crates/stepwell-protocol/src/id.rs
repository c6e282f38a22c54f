//! Identifiers. Each kind is a type of its own, so that the compiler catches swaps.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha1::{Digest, Sha1};
use std::fmt;
use std::str::FromStr;
use ulid::Ulid;
use uuid::Uuid;

/// A text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseIdError(String);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty, $to_bytes:ident)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            /// The 16 bytes of the id; they sort like its text.
            #[must_use]
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.$to_bytes()
            }

            /// The id of these 16 bytes.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(<$inner>::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                <$inner>::from_str(text)
                    .map(Self)
                    .map_err(|error| ParseIdError(error.to_string()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id! {
    /// One run of a function. Its time is the moment of scheduling.
    RunId(Ulid, to_bytes)
}
id! {
    /// One received event; never the `id` that its sender chose.
    EventId(Ulid, to_bytes)
}
id! {
    /// A bulk cancellation.
    BulkCancelId(Ulid, to_bytes)
}
id! {
    /// An app, derived from its name.
    AppId(Uuid, into_bytes)
}
id! {
    /// A function, derived from its app's name and its own slug, so that it survives re-registration.
    FunctionId(Uuid, into_bytes)
}

impl RunId {
    /// When the run was scheduled, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn timestamp_ms(self) -> u64 {
        self.0.timestamp_ms()
    }
}

impl EventId {
    /// The event that tells of a run's end; the same however often it is told.
    #[must_use]
    pub fn of_end(run: RunId, ended_ms: u64) -> Self {
        let mut hasher = Sha1::new();
        hasher.update(b"end of ");
        hasher.update(run.to_bytes());
        let hash = hasher.finalize();
        let mut random = [0; 16];
        random[6..].copy_from_slice(&hash[..10]);
        Self(Ulid::from_parts(ended_ms, u128::from_be_bytes(random)))
    }

    /// When the id was made, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn timestamp_ms(self) -> u64 {
        self.0.timestamp_ms()
    }
}

/// Namespace of the name-based ids of apps and functions.
const NAMESPACE: Uuid = Uuid::from_u128(0x5374_6570_7765_6c6c_8000_696e_6e67_6573);

impl AppId {
    /// The id of the app of this name.
    #[must_use]
    pub fn of(app_name: &str) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, app_name.as_bytes()))
    }
}

impl FunctionId {
    /// The id of the function `slug` of an app.
    #[must_use]
    pub fn of(app: AppId, slug: &str) -> Self {
        Self(Uuid::new_v5(&app.0, slug.as_bytes()))
    }
}

/// A step within a run, opaque to the server.
///
/// SDKs send the 40 hex digits of a SHA-1, which are kept as 20 bytes; any other text is kept as it is, so
/// that what goes back to the SDK is what came from it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepId {
    /// A lower-case SHA-1.
    Hash([u8; 20]),
    /// Anything else.
    Text(Box<str>),
}

impl StepId {
    /// The id of the `repeat`-th use (0 = the first) of the user's step id, by the SDKs' rule:
    /// SHA-1 of `id`, of `id:1`, `id:2`, ….
    #[must_use]
    pub fn of(user_id: &str, repeat: usize) -> Self {
        let mut hasher = Sha1::new();
        hasher.update(user_id.as_bytes());
        if repeat > 0 {
            hasher.update(format!(":{repeat}").as_bytes());
        }
        Self::Hash(hasher.finalize().into())
    }

    /// The id as the wire has it.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut bytes = [0; 20];
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        if text.len() == 40 && lower && hex::decode_to_slice(text, &mut bytes).is_ok() {
            Self::Hash(bytes)
        } else {
            Self::Text(text.into())
        }
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash(bytes) => {
                let mut text = [0; 40];
                hex::encode_to_slice(bytes, &mut text).expect("40 digits hold 20 bytes");
                formatter.write_str(std::str::from_utf8(&text).expect("hex digits are ASCII"))
            }
            Self::Text(text) => formatter.write_str(text),
        }
    }
}

impl fmt::Debug for StepId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for StepId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StepId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Ok(Self::parse(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_ids_follow_the_sdks_hash_and_repeat_rule() {
        assert_eq!(
            StepId::of("my-step-id", 0).to_string(),
            "e7d8a2f140845095749d60246ff1110c9d01d76a"
        );
        assert_eq!(
            StepId::of("my-step-id", 1).to_string(),
            "f47c6228c581af870aa285200cf95ec3ac59bb6a"
        );
    }

    #[test]
    fn any_step_id_comes_back_as_it_was() {
        for text in [
            "step",
            "",
            "E7D8A2F140845095749D60246FF1110C9D01D76A",
            "e7d8a2f140845095749d60246ff1110c9d01d76a",
        ] {
            assert_eq!(StepId::parse(text).to_string(), text);
        }
    }

    #[test]
    fn functions_of_two_apps_with_one_slug_differ() {
        assert_ne!(
            FunctionId::of(AppId::of("a"), "f"),
            FunctionId::of(AppId::of("b"), "f")
        );
    }
}
