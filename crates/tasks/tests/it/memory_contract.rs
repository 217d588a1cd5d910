use std::sync::Arc;

use bedplate_tasks::store::{MemoryStore, Store};

async fn fresh() -> Option<Arc<dyn Store>> {
    Some(Arc::new(MemoryStore::default()))
}

bedplate_tasks::store_contract!(fresh);
