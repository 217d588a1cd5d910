use crate::id::TaskId;

/// A hint that something changed in a store.
///
/// Hints are fast and may be lost, come twice, or come from another process: whoever acts on one reads the record, and
/// looks by itself now and then.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// A job ended.
    Ended(TaskId),
    /// A job reported how far it has come.
    Progress(TaskId),
    /// A job that runs is to be cancelled.
    Cancel(TaskId),
    /// Another process changed something, of which no more is known.
    Changed,
    /// The store was out of reach and is back: anything may have changed.
    Reconnected,
}
