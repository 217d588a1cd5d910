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
    static CURRENT: Option<Arc<Lineage>>;
}

pub(crate) fn identity<T>(of: &Arc<T>) -> Identity {
    Identity(Arc::as_ptr(of).addr())
}

/// Returns the lineage of a task that starts here, runs these loads and is waited for.
pub(crate) fn extend(loads: impl IntoIterator<Item = Identified>) -> Option<Arc<Lineage>> {
    let parent = CURRENT.try_with(Option::clone).ok().flatten();
    loads.into_iter().fold(parent, |parent, load| Some(Arc::new(Lineage { load, parent })))
}

/// Returns the lineage of a task that runs these loads and that nobody here waits for.
pub(crate) fn found(loads: impl IntoIterator<Item = Identified>) -> Option<Arc<Lineage>> {
    loads.into_iter().fold(None, |parent, load| Some(Arc::new(Lineage { load, parent })))
}

pub(crate) fn scope<F: Future>(lineage: Option<Arc<Lineage>>, run: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(lineage, run)
}

pub(crate) fn scope_blocking<T>(lineage: Option<Arc<Lineage>>, run: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(lineage, run)
}

/// Tells whether the current task runs inside of this load.
pub(crate) fn contains(load: Identity) -> bool {
    let found = CURRENT.try_with(|lineage| {
        let mut next = lineage.as_ref();
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
