//! Which loads a task runs inside of, so that one which waits for itself is told instead of waiting
//! for ever.
//!
//! The lineage follows the loader's own task and the loads it starts. A task that the loader spawns
//! by hand begins a new one.

use std::any::Any;
use std::future::Future;
use std::sync::{Arc, Weak};

/// Tells one load from every other: its address, which is not given away again while a lineage
/// remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(usize);

/// Something whose address identifies a load.
pub(crate) type Identified = Weak<dyn Any + Send + Sync>;

#[derive(Debug)]
pub(crate) struct Lineage {
    load: Identified,
    parent: Option<Arc<Self>>,
}

tokio::task_local! {
    static CURRENT: Arc<Lineage>;
}

pub(crate) fn identity<T>(of: &Arc<T>) -> Identity {
    Identity(Arc::as_ptr(of).addr())
}

/// Returns the lineage of a load that starts here.
pub(crate) fn extend(load: &Identified) -> Arc<Lineage> {
    let parent = CURRENT.try_with(Arc::clone).ok();
    Arc::new(Lineage { load: Weak::clone(load), parent })
}

pub(crate) fn scope<F: Future>(lineage: Arc<Lineage>, run: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(lineage, run)
}

/// Tells whether the current task runs inside of this load.
pub(crate) fn contains(load: Identity) -> bool {
    let found = CURRENT.try_with(|lineage| {
        let mut next = Some(lineage);
        while let Some(lineage) = next {
            if lineage.load.as_ptr().addr() == load.0 {
                return true;
            }
            next = lineage.parent.as_ref();
        }
        false
    });
    found.unwrap_or(false)
}
