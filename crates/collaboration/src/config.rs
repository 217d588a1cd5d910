use serde::{Deserialize, Serialize};

/// The bounds of a [`Hub`](crate::Hub).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HubConfig {
    /// The name of the shared text within each document, 1 to 256 bytes, default `text`. Editors that share the
    /// document must use the same name.
    pub text: String,
    /// How many documents are open at once, 1 to 1,000,000, default 1,024. An open document is in memory twice: as it
    /// is, and as the log from which it is rebuilt. Too few refuses joins, too many lets memory grow.
    pub max_documents: usize,
    /// How many sessions one document has, 1 to 100,000, default 256. Each sees every change of all others.
    pub max_sessions: usize,
    /// The longest update in bytes, 64 to 64 MiB, default 1 MiB. Too small refuses the paste of a long text, too large
    /// lets one update hold its thread for long.
    pub max_update_bytes: usize,
    /// The largest document in bytes of its encoded history, at least `max_update_bytes`, default 64 MiB. A document
    /// that is full takes no more changes.
    pub max_document_bytes: usize,
    /// The longest presence in bytes of its JSON, 2 to 1 MiB, default 16 KiB. Every change of it goes to everybody.
    pub max_presence_bytes: usize,
    /// How many changes wait for one slow receiver, 1 to 65,536, default 256. Too few makes it resynchronize after
    /// each burst, too many keeps that many updates in memory.
    pub pending_changes: usize,
    /// How many bytes may wait for a store that fails, at least `max_update_bytes`, default 8 MiB. Beyond it changes
    /// are refused before they are made.
    pub max_unsaved_bytes: usize,
    /// After how many stored updates a snapshot replaces them, 1 to 1,000,000, default 256. Few costs an encoding of
    /// the document each time, many makes the next load long.
    pub snapshot_after: usize,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            text: "text".to_owned(),
            max_documents: 1_024,
            max_sessions: 256,
            max_update_bytes: 1 << 20,
            max_document_bytes: 64 << 20,
            max_presence_bytes: 16 << 10,
            pending_changes: 256,
            max_unsaved_bytes: 8 << 20,
            snapshot_after: 256,
        }
    }
}

impl HubConfig {
    /// Makes sure that every setting is within its bounds.
    ///
    /// # Errors
    /// [`ConfigError`] names the first that is not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let within = |field, value: usize, least: usize, most: usize, expected| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError { field, value: value.to_string(), expected })
            }
        };
        if self.text.is_empty() || self.text.len() > 256 {
            return Err(ConfigError {
                field: "text",
                value: format!("{} bytes", self.text.len()),
                expected: "a name of 1 to 256 bytes",
            });
        }
        within("max_documents", self.max_documents, 1, 1_000_000, "1 to 1000000")?;
        within("max_sessions", self.max_sessions, 1, 100_000, "1 to 100000")?;
        within("max_update_bytes", self.max_update_bytes, 64, 64 << 20, "64 bytes to 64 MiB")?;
        let largest = 1 << 30;
        let update = self.max_update_bytes;
        within("max_document_bytes", self.max_document_bytes, update, largest, "max_update_bytes to 1 GiB")?;
        within("max_presence_bytes", self.max_presence_bytes, 2, 1 << 20, "2 bytes to 1 MiB")?;
        within("pending_changes", self.pending_changes, 1, 65_536, "1 to 65536")?;
        within("max_unsaved_bytes", self.max_unsaved_bytes, update, largest, "max_update_bytes to 1 GiB")?;
        within("snapshot_after", self.snapshot_after, 1, 1_000_000, "1 to 1000000")
    }
}

/// A setting out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, expected {expected}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting.
    pub field: &'static str,
    /// What was given.
    pub value: String,
    /// What would be right.
    pub expected: &'static str,
}
