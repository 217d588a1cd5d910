use serde::{Deserialize, Serialize};

/// Says what became of a track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Support {
    /// The track is listed from its header; nothing asked for its content.
    Listed,
    /// The content was decoded and measured.
    Analyzed,
    /// There is no decoder for the content here, which does not fail the file.
    Unsupported {
        /// Why not.
        reason: String,
    },
}
