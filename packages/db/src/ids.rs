use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// A workspace: the unit that owns assets and knowledge.
    WorkspaceId
}

text_id! {
    /// An asset. Producers choose it, so that registering twice is registering once.
    AssetId
}

text_id! {
    /// A saved workflow.
    WorkflowId
}

text_id! {
    /// A run of a workflow: the studio's own id, which its event carries.
    WorkflowRunId
}

text_id! {
    /// A job of a batch.
    BatchJobId
}
