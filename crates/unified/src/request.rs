use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bedplate_media::Modality;
/// Identifies a request, in every log line and record of it.
pub use bedplate_storage::InteractionId as RequestId;
use bytes::Bytes;
use garde::Validate;
use serde_json::Value;

/// Something to process: a text, a sound, a picture or a video, and what is to be done with it.
///
/// Nothing is checked here; [`Bedplate::process`](crate::Bedplate::process) checks everything and names what is wrong.
#[derive(Validate)]
#[must_use]
pub struct Request {
    #[garde(skip)]
    pub(crate) id: RequestId,
    #[garde(skip)]
    pub(crate) content: Bytes,
    #[garde(skip)]
    pub(crate) modality: Option<String>,
    #[garde(inner(custom(sized::<255>)))]
    pub(crate) file_name: Option<String>,
    #[garde(inner(custom(sized::<16_384>)))]
    pub(crate) question: Option<String>,
    #[garde(custom(few))]
    pub(crate) parameters: BTreeMap<String, Value>,
    #[garde(custom(sized::<128>), custom(plain_name))]
    pub(crate) tenant: String,
    #[garde(inner(custom(sized::<128>)))]
    pub(crate) user: Option<String>,
    #[garde(inner(custom(sized::<128>)))]
    pub(crate) session: Option<String>,
    #[garde(inner(custom(some_time)))]
    pub(crate) deadline: Option<Duration>,
}

impl Request {
    /// Returns a request for this content, whose bytes say what it is.
    pub fn new(content: impl Into<Bytes>) -> Self {
        Self {
            id: RequestId::new(),
            content: content.into(),
            modality: None,
            file_name: None,
            question: None,
            parameters: BTreeMap::new(),
            tenant: "default".to_owned(),
            user: None,
            session: None,
            deadline: None,
        }
    }

    /// Returns a request for a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(text.into().into_bytes()).modality(Modality::Text)
    }

    /// Returns a request for a picture.
    pub fn image(content: impl Into<Bytes>) -> Self {
        Self::new(content).modality(Modality::Image)
    }

    /// Returns a request for a sound.
    pub fn audio(content: impl Into<Bytes>) -> Self {
        Self::new(content).modality(Modality::Audio)
    }

    /// Returns a request for a video.
    pub fn video(content: impl Into<Bytes>) -> Self {
        Self::new(content).modality(Modality::Video)
    }

    /// Says what the content is; content of another modality is refused.
    pub fn modality(self, modality: Modality) -> Self {
        self.modality_name(modality.as_str())
    }

    /// Says by name what the content is; a name that is no modality is refused when the request is processed.
    pub fn modality_name(mut self, name: impl Into<String>) -> Self {
        self.modality = Some(name.into());
        self
    }

    /// Sets the name the content came under, 1 to 255 bytes; an extension of another modality is refused.
    pub fn file_name(mut self, name: impl Into<String>) -> Self {
        self.file_name = Some(name.into());
        self
    }

    /// Asks a question about a text, 1 to 16,384 bytes: the models answer it in place of the text's processor.
    pub fn ask(mut self, question: impl Into<String>) -> Self {
        self.question = Some(question.into());
        self
    }

    /// Sets a parameter for a processor of your own, at most 32 of them; parameters are part of the cache key.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.parameters.insert(name.into(), value.into());
        self
    }

    /// Sets whose request it is: 1 to 128 letters, digits and `. _ : @ -`; default `default`. Tenants share no cached
    /// answers.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// Sets the user's id, 1 to 128 bytes, for logs and records.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the session's id, 1 to 128 bytes, for logs and records.
    pub fn session(mut self, session: impl Into<String>) -> Self {
        self.session = Some(session.into());
        self
    }

    /// Gives the answer up after this time, above zero. What was begun goes on and is cached.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Returns the request's id. Each request has its own, a clone too: it is another request for the same.
    #[must_use]
    pub const fn id(&self) -> RequestId {
        self.id
    }
}

impl Clone for Request {
    /// Returns another request for the same, with an id of its own, so that each is recorded.
    fn clone(&self) -> Self {
        Self {
            id: RequestId::new(),
            content: self.content.clone(),
            modality: self.modality.clone(),
            file_name: self.file_name.clone(),
            question: self.question.clone(),
            parameters: self.parameters.clone(),
            tenant: self.tenant.clone(),
            user: self.user.clone(),
            session: self.session.clone(),
            deadline: self.deadline,
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("id", &self.id)
            .field("bytes", &self.content.len())
            .field("modality", &self.modality)
            .field("file_name", &self.file_name)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that garde calls")]
fn sized<const MAX: usize>(text: &str, (): &()) -> garde::Result {
    match text.len() {
        length if (1..=MAX).contains(&length) => Ok(()),
        length => Err(garde::Error::new(format!("has {length} bytes, expected 1 to {MAX}"))),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that garde calls")]
fn few(parameters: &BTreeMap<String, Value>, (): &()) -> garde::Result {
    match parameters.len() {
        0..=32 => Ok(()),
        count => Err(garde::Error::new(format!("are {count}, expected at most 32"))),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that garde calls")]
fn plain_name(name: &str, (): &()) -> garde::Result {
    if name.chars().all(|c| c.is_ascii_alphanumeric() || "._:@-".contains(c)) {
        Ok(())
    } else {
        Err(garde::Error::new("has characters other than letters, digits and . _ : @ -"))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that garde calls")]
fn some_time(time: &Duration, (): &()) -> garde::Result {
    if time.is_zero() { Err(garde::Error::new("is zero, expected more")) } else { Ok(()) }
}
