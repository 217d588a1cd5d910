//! Which loads a task runs inside of, and what they wait for, so that loads which wait for one
//! another are told instead of waiting for ever.
//!
//! The lineage follows the loader's own task and the loads it starts. A task that the loader spawns
//! by hand begins a new one.
//!
//! A caller that is inside of loads notes with each of them, for as long as it waits, which load it
//! waits for; then it follows such notes from there on. If they lead back to one of its own, it must
//! not wait. Noted first and looked for after, so that of loads which close a circle at the same
//! time at least one sees it whole. Who is inside of no load notes nothing and looks for nothing:
//! nobody waits for it.

use std::future::Future;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::task::futures::TaskLocalFuture;

/// What a load waits for: the callers inside of it have joined these other loads.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<Vec<Weak<dyn Waiting>>>);

/// Something that can wait and be waited for: the landing of a load.
pub(crate) trait Waiting: Send + Sync {
    fn waits(&self) -> &Waits;

    /// Tells whether nobody waits for it any more, since it has ended.
    fn has_ended(&self) -> bool;
}

impl std::fmt::Debug for dyn Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

/// Its address identifies a load, and is not given away again while a lineage remembers it.
pub(crate) type Identified = Weak<dyn Waiting>;

/// One load, and those that it runs inside of. Most run inside of none, and need no block of the allocator.
#[derive(Debug, Clone)]
pub(crate) enum Lineage {
    First(Identified),
    Within(Arc<Nested>),
}

#[derive(Debug)]
pub(crate) struct Nested {
    load: Identified,
    parent: Lineage,
}

tokio::task_local! {
    static CURRENT: Option<Lineage>;
}

/// Returns the lineage of a task that starts here, runs these loads and is waited for.
pub(crate) fn extend(loads: impl IntoIterator<Item = Identified>) -> Option<Lineage> {
    loads.into_iter().fold(current(), |parent, load| Some(Lineage::of(load, parent)))
}

/// Returns the lineage of a task that runs these loads and that nobody here waits for.
pub(crate) fn found(loads: impl IntoIterator<Item = Identified>) -> Option<Lineage> {
    loads.into_iter().fold(None, |parent, load| Some(Lineage::of(load, parent)))
}

pub(crate) fn scope<F: Future>(lineage: Option<Lineage>, run: F) -> TaskLocalFuture<Option<Lineage>, F> {
    CURRENT.scope(lineage, run)
}

pub(crate) fn scope_blocking<T>(lineage: Option<Lineage>, run: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(lineage, run)
}

/// Lets the current task wait for a load, unless that load waits for one that the task runs inside
/// of: then, `None`.
#[must_use = "the wait is over when this is dropped"]
pub(crate) fn wait_for<T: Waiting + 'static>(target: &Arc<T>) -> Option<Wait> {
    let Some(lineage) = current() else {
        return Some(Wait(None));
    };
    let target: Arc<dyn Waiting> = Arc::<T>::clone(target);
    if lineage.contains(address(&target)) {
        return None;
    }
    let weak = Arc::downgrade(&target);
    for load in lineage.loads() {
        if let Some(load) = load.upgrade() {
            load.waits().0.lock().push(Weak::clone(&weak));
        }
    }
    let wait = Wait(Some((lineage.clone(), weak)));
    (!leads_back(target, &lineage)).then_some(wait)
}

/// A wait of a task for a load; over when it is dropped.
#[derive(Debug)]
pub(crate) struct Wait(Option<(Lineage, Identified)>);

impl Drop for Wait {
    fn drop(&mut self) {
        let Some((lineage, target)) = &self.0 else { return };
        for load in lineage.loads().filter_map(Weak::upgrade) {
            let mut waits = load.waits().0.lock();
            // One note of this wait; others inside of the same load may have noted the same.
            let noted = waits.iter().position(|noted| Weak::ptr_eq(noted, target));
            let gone = noted.map(|at| waits.swap_remove(at));
            drop(waits);
            drop(gone);
        }
    }
}

impl Lineage {
    fn of(load: Identified, parent: Option<Self>) -> Self {
        match parent {
            Some(parent) => Self::Within(Arc::new(Nested { load, parent })),
            None => Self::First(load),
        }
    }

    fn loads(&self) -> impl Iterator<Item = &Identified> {
        std::iter::successors(Some(self), |lineage| lineage.parent()).map(|lineage| match lineage {
            Self::First(load) => load,
            Self::Within(nested) => &nested.load,
        })
    }

    fn parent(&self) -> Option<&Self> {
        match self {
            Self::First(_) => None,
            Self::Within(nested) => Some(&nested.parent),
        }
    }

    fn contains(&self, load: usize) -> bool {
        self.loads().any(|own| own.as_ptr().addr() == load)
    }
}

/// Tells whether a load waits, directly or through others, for one of a lineage.
fn leads_back(target: Arc<dyn Waiting>, lineage: &Lineage) -> bool {
    let mut seen = vec![address(&target)];
    let mut next = vec![target];
    while let Some(load) = next.pop() {
        if load.has_ended() {
            continue;
        }
        // Copied, so that what is dropped here is dropped outside of the lock.
        let waits: Vec<Identified> = load.waits().0.lock().clone();
        for waited_for in waits.iter().filter_map(Weak::upgrade) {
            let at = address(&waited_for);
            if lineage.contains(at) && !waited_for.has_ended() {
                return true;
            }
            if !seen.contains(&at) {
                seen.push(at);
                next.push(waited_for);
            }
        }
    }
    false
}

fn address(load: &Arc<dyn Waiting>) -> usize {
    Arc::as_ptr(load).addr()
}

fn current() -> Option<Lineage> {
    CURRENT.try_with(Option::clone).ok().flatten()
}
