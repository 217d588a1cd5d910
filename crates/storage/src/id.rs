use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is no UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value:?}, expected a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")]
#[non_exhaustive]
pub struct ParseIdError {
    /// Which id was parsed: `user id`, `session id`, `interaction id`.
    pub field: &'static str,
    /// The text, cut to 64 characters.
    pub value: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Returns a new id that sorts by its time of creation (UUID version 7, RFC 9562).
            #[expect(clippy::new_without_default, reason = "two new ids differ; a default value would not say so")]
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// Returns the id of these 128 bits, most significant first.
            #[must_use]
            pub const fn from_u128(bits: u128) -> Self {
                Self(Uuid::from_u128(bits))
            }

            /// Returns the 128 bits of the id, most significant first.
            #[must_use]
            pub const fn as_u128(self) -> u128 {
                self.0.as_u128()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                Uuid::parse_str(text).map(Self).map_err(|_| ParseIdError {
                    field: $field,
                    value: text.chars().take(64).collect(),
                })
            }
        }
    };
}

id!(
    /// Identifies a [`User`](crate::User).
    UserId,
    "user id"
);
id!(
    /// Identifies a [`Session`](crate::Session).
    SessionId,
    "session id"
);
id!(
    /// Identifies an [`Interaction`](crate::Interaction); the facade uses it as the request id.
    InteractionId,
    "interaction id"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_sort_by_creation() {
        let first = InteractionId::new();
        let second = InteractionId::new();
        assert!(first < second);
        assert_eq!(first.to_string().parse::<InteractionId>().unwrap(), first);
        assert_eq!(InteractionId::from_u128(first.as_u128()), first);
    }

    #[test]
    fn a_wrong_id_says_which_and_what_is_right() {
        let error = "42".parse::<SessionId>().unwrap_err();
        assert!(error.to_string().starts_with("session id is \"42\", expected a UUID"));
    }
}
