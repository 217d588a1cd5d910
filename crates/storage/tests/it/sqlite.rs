use std::sync::Arc;

use bedplate_storage::testing::store_contract;
use bedplate_storage::{
    Interactions as _, SqliteConfig, SqliteStore, StorageError, Store as _, Timestamp, User, Users as _,
};

use super::interaction;

#[tokio::test]
async fn the_sqlite_store_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    store_contract(&SqliteStore::open(folder.path().join("contract.db")).await.unwrap()).await;
}

#[tokio::test]
async fn a_file_is_there_again_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kept.db");
    let user = User::new("ada", "engines", Timestamp::from_millis(1));
    let store = SqliteStore::open(&path).await.unwrap();
    store.add_user(&user).await.unwrap();
    store.close().await;

    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.user(user.id).await.unwrap(), Some(user));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_never_meet_a_locked_database() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(folder.path().join("busy.db")).await.unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for index in 0..25 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            store.record(&[interaction(index)]).await?;
            store.interaction_counts().await.map(drop)
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(store.interaction_counts().await.unwrap().total(), 25);
}

#[tokio::test]
async fn two_processes_worth_of_stores_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.db");
    let one = SqliteStore::open(&path).await.unwrap();
    let other = SqliteStore::open(&path).await.unwrap();
    for index in 0..10 {
        let (first, second) = ([interaction(index)], [interaction(100 + index)]);
        let (first, second) = tokio::join!(one.record(&first), other.record(&second));
        first.unwrap();
        second.unwrap();
    }
    assert_eq!(other.interaction_counts().await.unwrap().total(), 20);
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let missing = SqliteStore::open(folder.path().join("no/such/folder.db")).await.unwrap_err();
    assert!(matches!(missing, StorageError::Unopened { .. }), "{missing:?}");
    assert!(missing.to_string().contains("folder.db cannot be opened"), "{missing}");
    let in_memory = SqliteStore::open(":memory:").await.unwrap_err();
    assert!(matches!(in_memory, StorageError::Invalid { field: "sqlite.path", .. }), "{in_memory:?}");

    let path = folder.path().join("text.db");
    std::fs::write(&path, "This is no database, but it is long enough to have a header of sixteen bytes.").unwrap();
    assert!(SqliteStore::open(&path).await.is_err());
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("This is no database"), "a foreign file is left alone");

    let mut config = SqliteConfig::default();
    config.readers = 0;
    assert!(matches!(
        SqliteStore::with_config(config).await,
        Err(StorageError::Invalid { field: "sqlite.readers", .. })
    ));
}

#[tokio::test]
async fn a_schema_of_another_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("newer.db");
    SqliteStore::open(&path).await.unwrap().close().await;
    // The application's own migration table, altered as a newer version would leave it.
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations VALUES (99, 'future', datetime('now'), TRUE, x'00', 0)")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    assert!(matches!(SqliteStore::open(&path).await, Err(StorageError::Migration { .. })));
}
