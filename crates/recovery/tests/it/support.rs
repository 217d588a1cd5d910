use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bedplate_recovery::{Classify, ErrorClass};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}")]
pub(crate) struct Fault(pub(crate) ErrorClass);

impl Classify for Fault {
    fn class(&self) -> ErrorClass {
        self.0
    }
}

pub(crate) const TRANSIENT: Fault = Fault(ErrorClass::Transient);

#[derive(Debug, Clone, Default)]
pub(crate) struct Count(Arc<AtomicU32>);

impl Count {
    pub(crate) fn up(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
