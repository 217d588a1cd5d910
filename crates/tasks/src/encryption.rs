use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, Generate as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};

use crate::id::TaskId;
use crate::job::{Codec, CodecError};

/// Encrypts the arguments of jobs by XChaCha20-Poly1305, under named keys that can be changed while jobs wait.
///
/// A store, a dashboard or a backup shows a job's kind, queue and times, but not its arguments. What was sealed for one
/// job opens for no other: id and kind are bound in. Results, errors and progress are not encrypted, nor are
/// keys of uniqueness and limits: one by arguments is a hash of these, by which whoever can guess them can tell. (Construction:
/// draft-irtf-cfrg-xchacha-03; nonces of 24 random bytes from the operating system.)
///
/// # Examples
/// ```
/// use bedplate_tasks::{Jobs, Keyring};
/// use bedplate_tasks::store::MemoryStore;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (new_key, old_key) = ([7; 32], [9; 32]);
/// let keyring = Keyring::new("2026-11", &new_key)?.also("2026-05", &old_key)?;
/// let jobs = Jobs::builder(MemoryStore::default()).codec(keyring).start()?;
/// # jobs.shutdown(Default::default()).await; Ok(()) }
/// ```
pub struct Keyring {
    /// The first one seals, all open.
    keys: Vec<(String, XChaCha20Poly1305)>,
}

/// A key that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The name stands in front of what it sealed.
    #[error("key name is {name:?}, expected 1 to 64 of a to z, A to Z, 0 to 9, - and _")]
    Name {
        /// The name.
        name: String,
    },
    /// Two keys have the same name.
    #[error("key {name} is given twice")]
    Duplicate {
        /// The name.
        name: String,
    },
}

const ENCODING: &str = "xchacha20poly1305";
const NONCE: usize = 24;

impl Keyring {
    /// Seals and opens by this key, of 32 random bytes.
    ///
    /// # Errors
    /// [`KeyringError::Name`] for a name that cannot be.
    pub fn new(name: &str, key: &[u8; 32]) -> Result<Self, KeyringError> {
        Self { keys: Vec::new() }.also(name, key)
    }

    /// Opens by this key too: for jobs that were sealed before a change of keys.
    ///
    /// # Errors
    /// [`KeyringError`] for a name that cannot be, or is taken.
    pub fn also(mut self, name: &str, key: &[u8; 32]) -> Result<Self, KeyringError> {
        let fits =
            (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !fits {
            return Err(KeyringError::Name { name: name.to_owned() });
        }
        if self.keys.iter().any(|(known, _)| known == name) {
            return Err(KeyringError::Duplicate { name: name.to_owned() });
        }
        self.keys.push((name.to_owned(), XChaCha20Poly1305::new(&Key::from(*key))));
        Ok(self)
    }
}

/// What is bound in beside the arguments.
fn bound(id: TaskId, kind: &str) -> Vec<u8> {
    [id.as_uuid().as_bytes(), kind.as_bytes()].concat()
}

impl Codec for Keyring {
    fn encoding(&self) -> Option<&'static str> {
        Some(ENCODING)
    }

    fn seal(&self, id: TaskId, kind: &str, json: Vec<u8>) -> Result<Vec<u8>, CodecError> {
        let (name, cipher) = self.keys.first().ok_or_else(|| CodecError::new("the keyring is empty"))?;
        let nonce = XNonce::try_generate().map_err(|_| CodecError::new("the system gives no random numbers"))?;
        let sealed = cipher
            .encrypt(&nonce, Payload { msg: &json, aad: &bound(id, kind) })
            .map_err(|_| CodecError::new("arguments are too large to encrypt"))?;
        let text = STANDARD.encode([nonce.as_slice(), &sealed].concat());
        Ok(format!("\"{name}:{text}\"").into_bytes())
    }

    fn open(&self, id: TaskId, kind: &str, encoding: &str, sealed: &[u8]) -> Result<Vec<u8>, CodecError> {
        if encoding != ENCODING {
            return Err(CodecError::new(format!("arguments are sealed by {encoding}, expected {ENCODING}")));
        }
        let broken = || CodecError::new("sealed arguments are not what a keyring gives");
        let text: String = serde_json::from_slice(sealed).map_err(|_| broken())?;
        let (name, text) = text.split_once(':').ok_or_else(broken)?;
        let (_, cipher) =
            self.keys.iter().find(|(known, _)| known == name).ok_or_else(|| {
                CodecError::new(format!("arguments are sealed by key {name:?}, which the keyring lacks"))
            })?;
        let bytes = STANDARD.decode(text).map_err(|_| broken())?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE).ok_or_else(broken)?;
        let nonce = XNonce::try_from(nonce).map_err(|_| broken())?;
        cipher
            .decrypt(&nonce, Payload { msg: sealed, aad: &bound(id, kind) })
            .map_err(|_| CodecError::new("sealed arguments were changed, or belong to another job"))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.keys.iter().map(|(name, _)| name).collect();
        f.debug_struct("Keyring").field("keys", &names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_its_job_alone() {
        let old = Keyring::new("old", &[1; 32]).unwrap();
        let ring = Keyring::new("new", &[2; 32]).unwrap().also("old", &[1; 32]).unwrap();
        let (id, other) = (TaskId::generate(), TaskId::generate());
        let plain = b"{\"card\":\"4111\"}".to_vec();
        for seals in [&old, &ring] {
            let sealed = seals.seal(id, "pay.v1", plain.clone()).unwrap();
            assert!(serde_json::from_slice::<String>(&sealed).is_ok(), "a JSON text");
            assert!(!sealed.windows(4).any(|part| part == b"4111"));
            assert_ne!(sealed, seals.seal(id, "pay.v1", plain.clone()).unwrap());
            assert_eq!(ring.open(id, "pay.v1", ENCODING, &sealed).unwrap(), plain);
            assert!(ring.open(other, "pay.v1", ENCODING, &sealed).is_err());
            assert!(ring.open(id, "refund.v1", ENCODING, &sealed).is_err());
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert!(ring.open(id, "pay.v1", ENCODING, &changed).is_err(), "byte {at}");
                assert!(ring.open(id, "pay.v1", ENCODING, &sealed[..at]).is_err());
            }
        }
        let sealed = ring.seal(id, "pay.v1", plain).unwrap();
        let error = old.open(id, "pay.v1", ENCODING, &sealed).unwrap_err();
        assert_eq!(error.to_string(), "arguments are sealed by key \"new\", which the keyring lacks");
        assert_eq!(format!("{ring:?}"), "Keyring { keys: [\"new\", \"old\"] }");
        assert!(matches!(Keyring::new("a b", &[0; 32]), Err(KeyringError::Name { .. })));
        assert!(matches!(ring.also("old", &[0; 32]), Err(KeyringError::Duplicate { .. })));
    }
}
