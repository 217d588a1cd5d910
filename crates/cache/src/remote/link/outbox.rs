//! Words that are promised now and sent a little later.

use std::sync::Arc;

use bytes::Bytes;

use super::shell::{RemoteLink, UnderWay, Written};
use crate::remote::{Change, Pending, Sealed, Stamp};

/// A word that this node already heeds and that is on its way to the others. Dropped before it was sent,
/// it is queued.
#[derive(Debug)]
#[must_use = "dropped, it is queued"]
pub(crate) struct Prepared {
    link: Arc<RemoteLink>,
    pending: Option<Pending>,
}

impl RemoteLink {
    /// Prepares the writing of a value.
    pub(crate) fn prepare_value(self: &Arc<Self>, key: &[u8], envelope: Sealed, kept_until: Option<u64>) -> Prepared {
        let pending = self.value(key, envelope, kept_until);
        self.promise(pending)
    }

    /// Prepares an invalidation: from now on this link gives out nothing that it makes old.
    pub(crate) fn prepare(self: &Arc<Self>, change: Change, stamp: Stamp) -> Prepared {
        let write = self.word(&change, stamp);
        self.promise(Pending::new(stamp, change, write))
    }

    fn promise(self: &Arc<Self>, pending: Pending) -> Prepared {
        let mut state = self.state.lock();
        state.promised += 1;
        if let Some(write) = &pending.write {
            let newest = pending.stamp;
            let word = state.under_way.entry(write.key.clone()).or_insert(UnderWay { newest, words: 0 });
            word.words += 1;
            word.newest = word.newest.max(newest);
        }
        drop(state);
        Prepared { link: Arc::clone(self), pending: Some(pending) }
    }

    /// Returns how many words the others have not heard yet.
    pub(crate) fn unsent(&self) -> usize {
        let state = self.state.lock();
        state.queue.len() + state.promised
    }

    fn kept(&self, key: Option<&Bytes>) {
        let mut state = self.state.lock();
        state.promised -= 1;
        let Some(key) = key else { return };
        if let Some(word) = state.under_way.get_mut(key) {
            word.words -= 1;
            if word.words == 0 {
                state.under_way.remove(key);
            }
        }
    }
}

impl Prepared {
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        self.pending.as_ref().map(|pending| pending.stamp)
    }

    /// Sends it, or queues it where that fails.
    pub(crate) async fn send(mut self) -> Written {
        // It stays here until it has arrived: whoever drops this future meanwhile queues it.
        let Some(pending) = self.pending.clone() else { return Written::Stored };
        let written = self.link.apply(pending).await;
        self.keep();
        written
    }

    /// Puts it into the queue.
    pub(crate) fn queue(self) {
        drop(self);
    }

    /// Takes it back: it is not true any more.
    pub(crate) fn forget(mut self) {
        self.keep();
    }

    fn keep(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.link.kept(pending.write.as_ref().map(|write| &write.key));
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        let key = pending.write.as_ref().map(|write| write.key.clone());
        self.link.queue(pending);
        self.link.kept(key.as_ref());
    }
}
