use std::sync::Arc;

use async_trait::async_trait;
use bedplate_collaboration::{
    Access, Applied, Authorize, Change, CollaborationError, CollaborationEvent, Denied, EditError, Hub, Participant,
    UpdatesError,
};
use parking_lot::Mutex;
use serde_json::json;

use crate::join;

#[tokio::test]
async fn edits_are_seen_by_all_and_told_to_the_others() {
    let hub = Hub::new();
    let (ann, bob) = (join(&hub, "ann").await, join(&hub, "bob").await);
    let (mut by_ann, mut by_bob) = (ann.updates(), bob.updates());
    ann.edit(|text| text.insert(0, "grüße 🦀!")).await.unwrap();
    assert_eq!(bob.text(), "grüße 🦀!");
    bob.edit(|text| text.replace(6..7, "crab")).await.unwrap();
    assert_eq!(ann.text(), "grüße crab!");
    let Change::Update { session, .. } = by_bob.recv().await.unwrap() else { panic!() };
    assert_eq!(session, ann.id());
    assert_eq!(by_bob.try_recv().unwrap(), None, "one's own change is no news");
    assert_eq!(by_ann.recv().await.unwrap().session(), bob.id());
    assert_eq!(hub.stats().edits, 2);
}

#[tokio::test]
async fn an_edit_that_does_not_fit_changes_nothing() {
    let hub = Hub::new();
    let ann = join(&hub, "ann").await;
    ann.edit(|text| text.insert(0, "a🦀c")).await.unwrap();
    let before = ann.state_vector();
    let error = ann
        .edit(|text| {
            text.insert(3, "!")?;
            assert_eq!((text.len(), text.before()), (4, "a🦀c"));
            text.delete(2..5)
        })
        .await
        .unwrap_err();
    let CollaborationError::Edit(EditError::OutOfRange { field, value, max, .. }) = error else { panic!("{error}") };
    assert_eq!((field, value, max), ("range.end", 5, 4));
    let (start, end) = (3, 2);
    let reversed = ann.edit(|text| text.delete(start..end)).await.unwrap_err();
    assert!(matches!(reversed, CollaborationError::Edit(EditError::OutOfRange { field: "range.start", .. })));
    let given_up = ann.edit(|text| {
        text.push("more")?;
        Err::<(), _>(EditError::give_up("no"))
    });
    assert!(given_up.await.is_err());
    assert_eq!((ann.text().as_str(), ann.state_vector()), ("a🦀c", before));
    ann.edit(|text| text.delete(0..text.len())).await.unwrap();
    assert_eq!(ann.text(), "");
    assert_eq!(hub.stats().refused, 3);
}

#[tokio::test]
async fn presence_is_seen_and_gone_with_its_session() {
    let hub = Hub::builder().max_presence_bytes(64).build().unwrap();
    let ann = join(&hub, "ann").await;
    let mut seen = ann.updates();
    let bob = hub.join("doc", Participant::new("b").named("Bob")).await.unwrap();
    bob.set_presence(json!({"cursor": 3})).unwrap();
    let too_long = bob.set_presence(json!("x".repeat(64))).unwrap_err();
    assert!(matches!(too_long, CollaborationError::TooLarge { field: "presence", size: 66, limit: 64, .. }));
    let present = ann.participants();
    assert_eq!(present.len(), 2);
    assert_eq!(
        (present[1].participant.name.as_str(), present[1].presence.as_deref()),
        ("Bob", Some(&json!({"cursor": 3})))
    );
    let id = bob.id();
    let mut of_bob = bob.updates();
    drop(bob);
    assert_eq!(ann.participants().len(), 1);
    assert!(
        matches!(seen.recv().await.unwrap(), Change::Joined { session, participant, .. } if session == id && participant.id == "b")
    );
    assert!(matches!(seen.recv().await.unwrap(), Change::Presence { presence: Some(_), .. }));
    assert!(matches!(seen.recv().await.unwrap(), Change::Left { session, .. } if session == id));
    assert_eq!(of_bob.recv().await.unwrap_err(), UpdatesError::Ended);
}

#[tokio::test]
async fn a_slow_receiver_is_told_and_catches_up() {
    let hub = Hub::builder().pending_changes(4).build().unwrap();
    let (ann, bob) = (join(&hub, "ann").await, join(&hub, "bob").await);
    let mut changes = bob.updates();
    for _ in 0..10 {
        ann.edit(|text| text.push("x")).await.unwrap();
    }
    assert!(matches!(changes.recv().await, Err(UpdatesError::Resync { missed: 6, .. })));
    // A second replica that missed changes takes the difference.
    let other = Hub::new();
    let copy = join(&other, "copy").await;
    assert_eq!(copy.apply_update(&bob.diff(&copy.state_vector()).unwrap()).await.unwrap(), Applied::Changed);
    assert_eq!(copy.text(), "xxxxxxxxxx");
    let Change::Update { update, .. } = changes.recv().await.unwrap() else { panic!() };
    assert_eq!(copy.apply_update(&update).await.unwrap(), Applied::Known);
}

struct Readers;

#[async_trait]
impl Authorize for Readers {
    async fn authorize(&self, document: &str, participant: &Participant) -> Result<Access, Denied> {
        match participant.id.as_str() {
            "stranger" => Err(Denied::new(format!("{document} is private"))),
            "reader" => Ok(Access::Read),
            _ => Ok(Access::Write),
        }
    }
}

#[tokio::test]
async fn grants_are_enforced() {
    let hub = Hub::builder().authorize(Readers).build().unwrap();
    let ann = join(&hub, "ann").await;
    ann.edit(|text| text.insert(0, "a")).await.unwrap();
    let reader = join(&hub, "reader").await;
    assert_eq!((reader.access(), reader.text().as_str()), (Access::Read, "a"));
    let update = ann.diff(&[0]).unwrap();
    assert!(matches!(reader.edit(|text| text.insert(0, "x")).await, Err(CollaborationError::ReadOnly { .. })));
    assert!(matches!(reader.apply_update(&update).await, Err(CollaborationError::ReadOnly { .. })));
    reader.set_presence(json!("here")).unwrap();
    let denied = hub.join("secret", Participant::new("stranger")).await.unwrap_err();
    assert!(matches!(denied, CollaborationError::Denied { .. }));
    assert_eq!(std::error::Error::source(&denied).unwrap().to_string(), "secret is private");
    assert_eq!(hub.stats().documents, 1, "a refused join opens nothing");
}

#[tokio::test]
async fn names_and_numbers_are_bounded() {
    let hub = Hub::builder().max_documents(1).max_sessions(1).build().unwrap();
    for name in ["", "a\0b", &"x".repeat(257)] {
        let error = hub.join(name, Participant::new("ann")).await.unwrap_err();
        assert!(matches!(error, CollaborationError::InvalidName { field: "document", .. }), "{error}");
    }
    assert!(hub.join("doc", Participant::new("")).await.is_err());
    let ann = join(&hub, "ann").await;
    let full = hub.join("doc", Participant::new("bob")).await.unwrap_err();
    assert!(matches!(full, CollaborationError::TooManySessions { limit: 1, .. }) && full.is_transient());
    let full = hub.join("other", Participant::new("bob")).await.unwrap_err();
    assert!(matches!(full, CollaborationError::TooManyDocuments { limit: 1, .. }));
    drop(ann);
    hub.join("other", Participant::new("bob")).await.unwrap();

    let hub = Hub::builder().max_update_bytes(64).max_document_bytes(128).build().unwrap();
    let ann = join(&hub, "ann").await;
    let long = "x".repeat(65);
    let error = ann.edit(|text| text.insert(0, &long)).await.unwrap_err();
    assert!(matches!(error, CollaborationError::TooLarge { field: "edit", size: 65, limit: 64, .. }));
    let error = ann.apply_update(&[0; 65]).await.unwrap_err();
    assert!(matches!(error, CollaborationError::TooLarge { field: "update", .. }));
    ann.edit(|text| text.push(&long[..64])).await.unwrap();
    let error = ann.edit(|text| text.push(&long[..64])).await.unwrap_err();
    assert!(matches!(error, CollaborationError::TooLarge { field: "document", limit: 128, .. }));
    ann.edit(|text| text.delete(0..64)).await.unwrap();
    assert_eq!(ann.text(), "");
}

#[test]
fn settings_out_of_bounds_are_named() {
    for (builder, field) in [
        (Hub::builder().max_documents(0), "max_documents"),
        (Hub::builder().max_update_bytes(1), "max_update_bytes"),
        (Hub::builder().max_document_bytes(1), "max_document_bytes"),
        (Hub::builder().pending_changes(0), "pending_changes"),
        (Hub::builder().text(""), "text"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.field, field);
    }
}

#[tokio::test]
async fn the_observer_hears_what_happens() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let hub = Hub::builder()
        .observer(move |event: &CollaborationEvent<'_>| {
            log.lock().push(match event {
                CollaborationEvent::Opened { .. } => "opened",
                CollaborationEvent::Joined { .. } => "joined",
                CollaborationEvent::Edited { .. } => "edited",
                CollaborationEvent::Updated { .. } => "updated",
                CollaborationEvent::Refused { reason, .. } => reason,
                CollaborationEvent::Left { .. } => "left",
                CollaborationEvent::Closed { .. } => "closed",
                _ => "other",
            });
        })
        .build()
        .unwrap();
    let ann = join(&hub, "ann").await;
    ann.edit(|text| text.insert(0, "a")).await.unwrap();
    ann.apply_update(&[1]).await.unwrap_err();
    ann.leave().await.unwrap();
    assert_eq!(*heard.lock(), ["opened", "joined", "edited", "malformed", "left", "closed"]);
}

#[tokio::test]
async fn the_self_check_passes_and_leaves_no_trace() {
    let hub = Hub::new();
    hub.self_check().await.unwrap();
    assert_eq!(hub.stats(), Hub::new().stats());
    let shown = format!("{hub:?}");
    assert!(shown.contains("max_documents"), "{shown}");
}

#[tokio::test]
async fn a_closure_that_panics_leaves_the_document_usable() {
    let hub = Hub::new();
    let ann = Arc::new(join(&hub, "ann").await);
    let same = Arc::clone(&ann);
    let panicked = tokio::spawn(async move {
        same.edit(|text| {
            text.push("x")?;
            if text.len() == 1 { panic!("on purpose") } else { Ok(()) }
        })
        .await
    });
    assert!(panicked.await.unwrap_err().is_panic());
    ann.edit(|text| text.push("y")).await.unwrap();
    assert_eq!(ann.text(), "y");
}
