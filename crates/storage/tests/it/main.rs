//! The public API of `bedplate-storage`.

mod recorder;
#[cfg(feature = "sqlite")]
mod sqlite;

use bedplate_storage::testing::store_contract;
use bedplate_storage::{Interaction, InteractionId, Interactions as _, MemoryStore, StorageError, Timestamp};

#[tokio::test]
async fn the_memory_store_keeps_the_contract() {
    store_contract(&MemoryStore::new()).await;
}

#[tokio::test]
async fn the_memory_store_is_bounded_and_counts_what_it_drops() {
    let store = MemoryStore::with_capacity(3).unwrap();
    let all: Vec<Interaction> = (0..5).map(interaction).collect();
    store.record(&all).await.unwrap();
    assert_eq!(store.interaction_counts().await.unwrap().total(), 3);
    assert_eq!(store.dropped(), 2);
    assert!(store.interaction(all[1].id).await.unwrap().is_none());
    assert!(store.interaction(all[2].id).await.unwrap().is_some());
    assert!(matches!(MemoryStore::with_capacity(0), Err(StorageError::Invalid { field: "memory.capacity", .. })));
}

#[test]
fn public_types_are_send_and_sync() {
    const fn check<T: Send + Sync + 'static>() {}
    check::<MemoryStore>();
    check::<bedplate_storage::Recorder>();
    check::<StorageError>();
    check::<Box<dyn bedplate_storage::Store>>();
    #[cfg(feature = "sqlite")]
    check::<bedplate_storage::SqliteStore>();
}

fn interaction(index: i64) -> Interaction {
    Interaction::new(InteractionId::new(), "text", Timestamp::from_millis(index))
}
