use std::future::{Future, ready};
use std::sync::Arc;

use bedplate_tasks::store::{MemoryStore, Store};

fn fresh() -> impl Future<Output = Option<Arc<dyn Store>>> {
    ready(Some(Arc::new(MemoryStore::default()) as Arc<dyn Store>))
}

bedplate_tasks::store_contract!(fresh);
