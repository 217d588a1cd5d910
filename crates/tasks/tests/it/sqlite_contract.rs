use std::sync::Arc;

use bedplate_tasks::store::{SqliteStore, Store};

async fn fresh() -> Option<Arc<dyn Store>> {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("jobs.db")).await.unwrap();
    // The files go with the store, which keeps them open.
    drop(folder);
    Some(Arc::new(store))
}

bedplate_tasks::store_contract!(fresh);
