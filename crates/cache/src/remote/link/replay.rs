//! What waited, once the remote is back.

use std::time::Duration;

use super::shell::{RemoteLink, Replay};
use crate::remote::{Admission, Change, Pending, RemoteError, Step, StepId, StoreOutcome};

impl RemoteLink {
    /// Replays what waits, until it is done or the remote fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: a step that was under way is done again.
    pub async fn replay(&self) -> Replay {
        let _alone = self.replaying.lock().await;
        let mut replay = Replay::default();
        let suspicious = self.state.lock().queue.take_suspicion();
        if suspicious {
            let stamp = self.stamp();
            let word = self.word(&Change::Suspect, stamp);
            self.state.lock().queue.push(Pending::new(stamp, Change::Suspect, word));
        }
        loop {
            let step = self.state.lock().queue.peek();
            let Some(step) = step else { break };
            if !self.take(step, &mut replay).await {
                break;
            }
            replay.steps += 1;
            self.state.lock().stats.replayed += 1;
        }
        replay.remaining = self.state.lock().queue.len();
        replay
    }

    /// Replays whenever something waits, with pauses as the breaker asks for them, and hands each replay
    /// over. It ends with its caller: drive it from a task that the cache owns.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing that waits.
    pub async fn recover(&self, mut done: impl FnMut(Replay)) {
        loop {
            let waiting = self.state.lock().queue.len();
            if waiting == 0 {
                self.wake.notified().await;
            }
            let replay = self.replay().await;
            let remaining = replay.remaining;
            if replay.steps > 0 {
                done(replay);
            }
            if remaining > 0 {
                let now = self.clock.now();
                let breakers = {
                    let state = self.state.lock();
                    [state.breaker.clone(), state.backplane_breaker.clone()]
                };
                let refused = breakers.into_iter().filter_map(|mut breaker| match breaker.admit(now) {
                    Admission::Refuse { retry_after } => Some(retry_after),
                    Admission::Call => None,
                });
                let pause = refused.max().unwrap_or(Duration::from_millis(100));
                tokio::time::sleep(pause.max(Duration::from_millis(10))).await;
            }
        }
    }

    /// Takes one step; `false` if the remote failed.
    async fn take(&self, step: Step, replay: &mut Replay) -> bool {
        match step {
            Step::Store { id, write } => match self.store(&write).await {
                Ok(StoreOutcome::Outdated) => {
                    if let Some((b'=', key)) = write.key.split_first() {
                        replay.outdated.push(write.key.slice_ref(key));
                    }
                    // The node that wrote what is newer told the others of it: this word is obsolete.
                    self.finish(id);
                    self.finish_item(id);
                    true
                }
                Ok(StoreOutcome::Stored) => {
                    self.finish(id);
                    true
                }
                Err(error) if !error.is_transient() => {
                    // It would be refused for ever. The others are told all the same: they must not hold
                    // what is older.
                    tracing::warn!(%error, "the remote tier refused a queued write");
                    self.finish(id);
                    true
                }
                Err(error) => self.gives_up(id, &error),
            },
            Step::Publish { id, stamp, change } => {
                let told = async {
                    self.purge_pattern(&change, stamp).await?;
                    self.publish(stamp, change).await
                };
                let told = told.await;
                match told {
                    Err(error) if error.is_transient() => self.gives_up(id, &error),
                    _ => {
                        self.finish(id);
                        true
                    }
                }
            }
        }
    }

    /// Leaves a step for another time. One in which the remote's code panics again and again is passed over,
    /// or nothing behind it would ever be heard; `true` then.
    fn gives_up(&self, id: StepId, error: &RemoteError) -> bool {
        if !matches!(error, RemoteError::Panicked { .. }) {
            return false;
        }
        let mut state = self.state.lock();
        let before = state.panicked.filter(|(step, _)| *step == id).map_or(0, |(_, panics)| panics);
        if before + 1 < MOST_PANICS {
            state.panicked = Some((id, before + 1));
            return false;
        }
        state.panicked = None;
        drop(state);
        tracing::warn!(%error, "a queued word was passed over");
        self.finish(id);
        true
    }

    fn finish(&self, id: StepId) {
        self.state.lock().queue.done(id);
    }

    fn finish_item(&self, id: StepId) {
        self.state.lock().queue.done(id.published());
    }
}

/// How often in a row one step may panic.
const MOST_PANICS: u32 = 3;
