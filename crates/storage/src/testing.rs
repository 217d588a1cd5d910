//! The contract that every [`Store`] keeps, as one function to call from a test.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a contract suite reports by panicking, as an assertion does"
)]

use std::time::Duration;

use crate::{
    CacheOutcome, CachedAnswer, Interaction, InteractionId, InteractionQuery, Session, SessionId, Status, StorageError,
    Store, Timestamp, User, UserId,
};

/// Runs the whole contract on an empty store, closing it at the end. Panics at the first clause it breaks.
pub async fn store_contract(store: &dyn Store) {
    store.ping().await.unwrap();
    users(store).await;
    sessions(store).await;
    interactions(store).await;
    answers(store).await;
    closing(store).await;
}

async fn users(store: &dyn Store) {
    let ada = User::new("ada", "engines", at(1));
    store.add_user(&ada).await.unwrap();
    assert_eq!(store.user(ada.id).await.unwrap().as_ref(), Some(&ada));
    assert_eq!(store.user_by_name("ada").await.unwrap().as_ref(), Some(&ada));
    assert_eq!(store.user(UserId::new()).await.unwrap(), None);
    assert_eq!(store.user_by_name("Ada").await.unwrap(), None, "names are compared exactly");

    let same_name = User::new("ada", "poets", at(2));
    assert!(matches!(
        store.add_user(&same_name).await,
        Err(StorageError::Conflict { entity: "user", field: "name", .. })
    ));
    let mut same_id = ada.clone();
    same_id.name = String::from("lovelace");
    assert!(matches!(store.add_user(&same_id).await, Err(StorageError::Conflict { entity: "user", field: "id", .. })));
    for name in [String::new(), "x".repeat(User::MAX_NAME_BYTES + 1)] {
        assert!(matches!(
            store.add_user(&User::new(name, "engines", at(1))).await,
            Err(StorageError::Invalid { field: "user.name", .. })
        ));
    }
    // A name is data, whatever it looks like.
    let odd = User::new("'; DROP TABLE users; --\u{0}\u{1F600}", "engines", at(3));
    store.add_user(&odd).await.unwrap();
    assert_eq!(store.user_by_name(&odd.name).await.unwrap(), Some(odd.clone()));
    assert!(store.remove_user(odd.id).await.unwrap());
    assert!(!store.remove_user(odd.id).await.unwrap());
    assert!(store.remove_user(ada.id).await.unwrap());
}

async fn sessions(store: &dyn Store) {
    let user = User::new("grace", "engines", at(1));
    store.add_user(&user).await.unwrap();
    let first = Session::new(Some(user.id), at(10));
    let second = Session::new(Some(user.id), at(5));
    let anonymous = Session::new(None, at(1));
    for session in [&first, &second, &anonymous] {
        store.open_session(session).await.unwrap();
    }
    assert!(matches!(store.open_session(&first).await, Err(StorageError::Conflict { entity: "session", .. })));
    assert!(matches!(
        store.open_session(&Session::new(Some(UserId::new()), at(1))).await,
        Err(StorageError::NotFound { entity: "user", .. })
    ));
    assert_eq!(store.open_sessions(user.id).await.unwrap(), [second.clone(), first.clone()]);

    store.touch_session(first.id, at(30)).await.unwrap();
    store.touch_session(first.id, at(20)).await.unwrap();
    assert_eq!(store.session(first.id).await.unwrap().unwrap().last_seen_at, at(30), "time does not run backwards");
    store.end_session(first.id, at(40)).await.unwrap();
    store.end_session(first.id, at(50)).await.unwrap();
    assert_eq!(store.session(first.id).await.unwrap().unwrap().ended_at, Some(at(40)), "the first end counts");
    assert!(matches!(store.touch_session(first.id, at(60)).await, Err(StorageError::NotFound { .. })));
    assert!(matches!(store.end_session(SessionId::new(), at(1)).await, Err(StorageError::NotFound { .. })));
    let still_open = store.open_sessions(user.id).await.unwrap();
    assert!(matches!(&still_open[..], [one] if *one == second));

    store.remove_user(user.id).await.unwrap();
    assert_eq!(store.session(second.id).await.unwrap(), None, "a user's sessions go with the user");
    assert_eq!(store.session(anonymous.id).await.unwrap(), Some(anonymous));
}

async fn interactions(store: &dyn Store) {
    let mut full = Interaction::new(InteractionId::new(), "image", at(100));
    full.tenant = String::from("engines");
    full.user = Some("ada".to_owned());
    full.session = Some("s-1".to_owned());
    full.processor = String::from("image@1");
    full.content_hash = String::from("00ff");
    full.content_bytes = 196_653;
    full.cache = CacheOutcome::Coalesced;
    full.served_by = Some("image".to_owned());
    full.attempts = 3;
    full.quality = 0.75;
    full.duration = Duration::from_micros(1_234_567);
    let mut degraded = Interaction::new(InteractionId::new(), "video", at(300));
    degraded.status = Status::Degraded;
    let mut failed = Interaction::new(InteractionId::new(), "audio", at(200));
    failed.status = Status::Failed;
    failed.quality = 0.0;
    failed.error_kind = Some("mismatch".to_owned());
    failed.error = Some("content is a PNG".to_owned());

    store.record(&[]).await.unwrap();
    store.record(&[full.clone(), degraded.clone(), failed.clone()]).await.unwrap();
    for one in [&full, &degraded, &failed] {
        assert_eq!(store.interaction(one.id).await.unwrap().as_ref(), Some(one), "every field reads back");
    }
    assert_eq!(store.interaction(InteractionId::new()).await.unwrap(), None);

    store.record(std::slice::from_ref(&full)).await.unwrap();
    let counts = store.interaction_counts().await.unwrap();
    assert_eq!((counts.succeeded, counts.degraded, counts.failed, counts.total()), (1, 1, 1, 3), "replaced by id");

    let newest = store.interactions(&InteractionQuery::newest(2)).await.unwrap();
    assert_eq!(newest, [degraded.clone(), failed.clone()]);
    let of_tenant = store.interactions(&InteractionQuery::default().tenant("engines")).await.unwrap();
    assert_eq!(of_tenant, [full.clone()]);
    let failures = store.interactions(&InteractionQuery::default().status(Status::Failed)).await.unwrap();
    assert_eq!(failures, [failed.clone()]);
    let recent = store.interactions(&InteractionQuery::default().since(at(200))).await.unwrap();
    assert_eq!(recent.len(), 2);
    for limit in [0, InteractionQuery::MAX_LIMIT + 1] {
        assert!(matches!(
            store.interactions(&InteractionQuery::newest(limit)).await,
            Err(StorageError::Invalid { field: "query.limit", .. })
        ));
    }

    let fine = Interaction::new(InteractionId::new(), "text", at(400));
    let mut wrong = Interaction::new(InteractionId::new(), "text", at(400));
    wrong.quality = f64::NAN;
    assert!(matches!(
        store.record(&[fine.clone(), wrong]).await,
        Err(StorageError::Invalid { field: "interaction.quality", .. })
    ));
    assert_eq!(store.interaction(fine.id).await.unwrap(), None, "all or none");

    assert_eq!(store.remove_interactions_before(at(300)).await.unwrap(), 2);
    assert_eq!(store.interactions(&InteractionQuery::default()).await.unwrap(), [degraded]);
}

async fn answers(store: &dyn Store) {
    let body = serde_json::json!({"sharpness": 12.5, "palette": ["#ffffff"], "none": null});
    let lasting = CachedAnswer::new("k1", "image@1", body, at(1));
    let mut passing = CachedAnswer::new("k2", "text@1", serde_json::json!("short"), at(1));
    passing.expires_at = Some(at(100));
    store.put_answer(&lasting).await.unwrap();
    store.put_answer(&passing).await.unwrap();
    assert_eq!(store.answer("k1", at(i64::MAX)).await.unwrap(), Some(lasting.clone()));
    assert_eq!(store.answer("k2", at(99)).await.unwrap(), Some(passing.clone()));
    assert_eq!(store.answer("k2", at(100)).await.unwrap(), None, "expired at its time, not after");
    assert_eq!(store.answer("k3", at(1)).await.unwrap(), None);

    let mut newer = lasting.clone();
    newer.body = serde_json::json!(2);
    store.put_answer(&newer).await.unwrap();
    assert_eq!(store.answer("k1", at(1)).await.unwrap(), Some(newer), "replaced by key");
    let counts = store.answer_counts().await.unwrap();
    assert_eq!((counts["image@1"], counts["text@1"]), (1, 1));

    assert_eq!(store.remove_expired_answers(at(100)).await.unwrap(), 1);
    assert_eq!(store.remove_expired_answers(at(100)).await.unwrap(), 0);
    assert_eq!(store.remove_answers_by("text@1").await.unwrap(), 0);
    assert_eq!(store.remove_answers_by("image@1").await.unwrap(), 1);
    assert!(store.answer_counts().await.unwrap().is_empty());
}

async fn closing(store: &dyn Store) {
    store.close().await;
    store.close().await;
    assert!(matches!(store.ping().await, Err(StorageError::Closed)));
    assert!(matches!(store.interaction_counts().await, Err(StorageError::Closed)));
    let late = Interaction::new(InteractionId::new(), "text", at(1));
    assert!(matches!(store.record(&[late]).await, Err(StorageError::Closed)));
}

const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
