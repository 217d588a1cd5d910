use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names the kind of content a body carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Modality {
    /// UTF-8 text.
    Text,
    /// A still or animated picture.
    Image,
    /// A sound.
    Audio,
    /// A container with at least one track of moving pictures.
    Video,
}

impl Modality {
    /// Every modality, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Text, Self::Image, Self::Audio, Self::Video];

    /// Returns the name used in serialized forms, e.g. `"image"`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Modality {
    type Err = ParseModalityError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|modality| modality.as_str() == name)
            .ok_or_else(|| ParseModalityError { name: name.chars().take(MAX_QUOTED).collect() })
    }
}

/// Says that a name is no modality, and which names are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown modality {name:?}: expected one of text, image, audio, video")]
pub struct ParseModalityError {
    name: String,
}

impl ParseModalityError {
    /// Returns the name that was refused, cut to 64 characters.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The refused name comes from outside, so an error quotes only this many characters of it.
const MAX_QUOTED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for modality in Modality::ALL {
            assert_eq!(modality.to_string().parse(), Ok(modality));
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = "hologram".parse::<Modality>().unwrap_err();
        assert_eq!(error.name(), "hologram");
        let message = error.to_string();
        for modality in Modality::ALL {
            assert!(message.contains(modality.as_str()), "{message}");
        }
    }
}
