//! The public API of `bedplate-collaboration`.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test reports by panicking")]

mod convergence;
mod hostile;
mod sessions;
mod stores;
mod traces;

use bedplate_collaboration::{Hub, HubBuilder, Participant, Session, Updates};

async fn join(hub: &Hub, who: &str) -> Session {
    hub.join("doc", Participant::new(who)).await.unwrap()
}

#[test]
fn handles_and_futures_can_be_sent_and_shared() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>(_: &T) {}
    shared::<Hub>();
    shared::<HubBuilder>();
    shared::<Session>();
    shared::<Updates>();
    let hub = Hub::new();
    sent(&async move {
        hub.self_check().await.unwrap();
        let session = hub.join("doc", Participant::new("ann")).await.unwrap();
        session.edit(|text| text.insert(0, "a")).await.unwrap();
        session.apply_update(&[]).await.unwrap_err();
        session.updates().recv().await.unwrap();
        hub.flush().await.unwrap();
        session.leave().await.unwrap();
    });
}
