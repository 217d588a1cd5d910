use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bedplate_media::Modality;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Server;
use super::problem::{failed, problem};
use crate::{ErrorKind, Request};

/// The query of `POST /v1/process`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    modality: Option<String>,
    file_name: Option<String>,
    question: Option<String>,
}

/// The body of `POST /v1/process` as `application/json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextBody {
    text: String,
    question: Option<String>,
}

pub(super) async fn process(
    State(server): State<Server>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let upload = server.uploads.read(body).await;
    let (id, mut response) = match upload.and_then(|upload| request(parameters, &headers, upload)) {
        Ok(request) => {
            let id = request.id();
            let answer = server.system.process(request).await;
            (id, answer.map_or_else(|error| failed(&error), |processed| axum::Json(processed).into_response()))
        }
        Err(Refusal { status, kind, detail }) => {
            let id = server.system.refuse(kind, &detail).await;
            (id, problem(status, kind.as_str(), &detail))
        }
    };
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    }
    response
}

/// Why no request could be made of what was sent.
struct Refusal {
    status: StatusCode,
    kind: ErrorKind,
    detail: String,
}

/// How many bytes of bodies are in memory at once, and how many one may have.
#[derive(Clone)]
pub(super) struct Uploads {
    largest: usize,
    room: Arc<Semaphore>,
}

/// A body and the room it takes. It may outlive the request: what was begun for a caller who has gone goes on.
struct Upload {
    body: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

impl Uploads {
    /// The unit of room, in bytes.
    const UNIT: usize = 64 * 1024;
    /// How long a sender may send nothing.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Has room for four of the largest bodies.
    pub(super) fn new(largest: usize) -> Self {
        let units = largest.div_ceil(Self::UNIT).saturating_mul(4).min(Semaphore::MAX_PERMITS);
        Self { largest, room: Arc::new(Semaphore::new(units)) }
    }

    /// Reads a body. It takes room as it comes and not as it is announced, so that a sender who stalls keeps nobody out.
    async fn read(&self, mut body: Body) -> Result<Upload, Refusal> {
        let mut upload = Upload { body: Vec::new(), room: None };
        loop {
            let frame = match timeout(Self::PATIENCE, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => return Ok(upload),
                Ok(Some(Err(error))) => return Err(invalid(format!("body cannot be read: {error}"))),
                Err(_) => {
                    let detail = format!("body stalled, expected a byte within {:?}", Self::PATIENCE);
                    return Err(Refusal { status: StatusCode::REQUEST_TIMEOUT, kind: ErrorKind::TimedOut, detail });
                }
            };
            // What is no data is a trailer, which says nothing here.
            if let Ok(data) = frame.into_data() {
                if upload.body.len() + data.len() > self.largest {
                    return Err(too_large());
                }
                upload.take(&data, &self.room).ok_or_else(crowded)?;
            }
        }
    }
}

impl Upload {
    /// Adds to the body if there is room for it.
    fn take(&mut self, data: &[u8], room: &Arc<Semaphore>) -> Option<()> {
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let needed = (self.body.len() + data.len()).div_ceil(Uploads::UNIT);
        let more = u32::try_from(needed.saturating_sub(held)).ok()?;
        let more = Arc::clone(room).try_acquire_many_owned(more).ok()?;
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        self.body.extend_from_slice(data);
        Some(())
    }
}

impl AsRef<[u8]> for Upload {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

fn invalid(detail: String) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, kind: ErrorKind::InvalidRequest, detail }
}

fn too_large() -> Refusal {
    let detail = "body is larger than any limit of this system".to_owned();
    Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, kind: ErrorKind::TooLarge, detail }
}

fn crowded() -> Refusal {
    let detail = "too many bytes are being processed, expected to be sent again later".to_owned();
    Refusal { status: StatusCode::TOO_MANY_REQUESTS, kind: ErrorKind::Overloaded, detail }
}

fn request(
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: &HeaderMap,
    mut upload: Upload,
) -> Result<Request, Refusal> {
    let Query(parameters) = parameters.map_err(|error| invalid(error.body_text()))?;
    let json = headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    let mut question = parameters.question;
    if json {
        let parsed: TextBody =
            serde_json::from_slice(&upload.body).map_err(|error| invalid(format!("body is wrong: {error}")))?;
        question = parsed.question.or(question);
        upload.body = parsed.text.into_bytes();
    }
    let mut request = Request::new(Bytes::from_owner(upload));
    if json {
        request = request.modality(Modality::Text);
    }
    if let Some(modality) = parameters.modality {
        request = request.modality_name(modality);
    }
    if let Some(file_name) = parameters.file_name {
        request = request.file_name(file_name);
    }
    if let Some(question) = question {
        request = request.ask(question);
    }
    let header = |name: &str| match headers.get(name).map(HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value.to_owned())),
        Some(Err(_)) => Err(invalid(format!("{name} is not visible ASCII, expected that"))),
    };
    if let Some(tenant) = header("x-tenant")? {
        request = request.tenant(tenant);
    }
    if let Some(user) = header("x-user-id")? {
        request = request.user(user);
    }
    if let Some(session) = header("x-session-id")? {
        request = request.session(session);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::StreamExt as _;
    use futures_util::stream::{iter, pending};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_given_up_and_its_room_given_back() {
        let uploads = Uploads::new(1 << 20);
        let free = uploads.room.available_permits();
        let begun = tokio::time::Instant::now();
        let some = iter([Ok::<_, io::Error>(Bytes::from_static(b"abc"))]);
        let refusal = uploads.read(Body::from_stream(some.chain(pending()))).await.err().unwrap();
        assert_eq!((refusal.status, refusal.kind), (StatusCode::REQUEST_TIMEOUT, ErrorKind::TimedOut));
        assert_eq!(begun.elapsed().as_secs(), Uploads::PATIENCE.as_secs());
        assert_eq!(uploads.room.available_permits(), free);
    }
}
