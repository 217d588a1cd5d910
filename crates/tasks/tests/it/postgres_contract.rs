use std::cell::RefCell;
use std::sync::Arc;

use bedplate_tasks::store::Store;

use crate::postgres_support::Sandbox;

thread_local! {
    /// Dropped with the thread of the test, when the store is gone.
    static SANDBOXES: RefCell<Vec<Sandbox>> = const { RefCell::new(Vec::new()) };
}

async fn fresh() -> Option<Arc<dyn Store>> {
    let sandbox = Sandbox::new()?;
    let store = sandbox.store().await;
    SANDBOXES.with_borrow_mut(|sandboxes| sandboxes.push(sandbox));
    Some(Arc::new(store))
}

bedplate_tasks::store_contract!(fresh);
