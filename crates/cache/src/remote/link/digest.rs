//! From the others.

use super::shell::{RemoteEvent, RemoteLink};
use crate::remote::Subscription;
use crate::remote::{Change, Delivery, GapReason, Notification, RemoteError, Sequence};

impl RemoteLink {
    /// Begins to listen to the other nodes; `None` without a backplane.
    ///
    /// # Errors
    ///
    /// Any [`RemoteError`] if listening cannot begin.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn subscribe(&self) -> Result<Option<Subscription>, RemoteError> {
        match &self.backplane {
            Some(backplane) => backplane.subscribe().await.map(Some),
            None => Ok(None),
        }
    }

    /// Says what a delivery means for this node; `None` for its own words and for signs of life.
    pub fn digest(&self, delivery: Delivery) -> Option<RemoteEvent> {
        let notification = match delivery {
            Delivery::Gap(reason) => return Some(self.suspect(reason)),
            Delivery::Message(notification) => notification,
        };
        let Notification { stamp, sequence, ref change } = notification;
        if stamp.node() == self.config.node {
            return None;
        }
        let (wall, now) = (self.wall.millis(), self.clock.now());
        let (sequence, believed) = {
            let mut state = self.state.lock();
            (state.gaps.hear(stamp.node(), sequence), state.stamps.observe(stamp, wall).is_ok())
        };
        if !believed {
            return Some(self.suspect(GapReason::Skewed));
        }
        match change {
            Change::Tag(tag) => drop(self.state.lock().note_marker(tag, Some(stamp), now)),
            Change::Cleared | Change::Suspect => self.note_cleared(stamp),
            _ => {}
        }
        if matches!(sequence, Sequence::Missed(_)) {
            // It covers this notification too: what is suspect is not served as fresh.
            return Some(self.suspect(GapReason::Sequence));
        }
        match change {
            Change::Suspect => Some(self.suspect(GapReason::Suspect)),
            Change::Heartbeat => None,
            _ => Some(RemoteEvent::Changed(notification)),
        }
    }

    /// Tells the others that this node lives, and lets them see whether they missed something.
    ///
    /// # Errors
    ///
    /// Any [`RemoteError`].
    ///
    /// # Cancel safety
    ///
    /// After dropping the future some, all or none may have heard it.
    pub async fn heartbeat(&self) -> Result<(), RemoteError> {
        self.publish(self.stamp(), Change::Heartbeat).await
    }

    /// Asks for the markers of tags again, as after a gap that nothing but the listener has seen.
    pub(crate) fn doubt_markers(&self) {
        self.state.lock().doubt_markers();
    }

    fn suspect(&self, reason: GapReason) -> RemoteEvent {
        let mut state = self.state.lock();
        state.stats.gaps += 1;
        state.doubt_markers();
        if reason == GapReason::Reconnected {
            state.gaps.reset();
        }
        RemoteEvent::Suspect(reason)
    }
}
