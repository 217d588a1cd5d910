//! The tasks that hear the others and let them hear this node.

use std::hash::Hash;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::RemoteNode;
use super::patterns::Pattern;
use crate::inner::Inner;
use crate::invalidation::{Scope, Tag};
use crate::observer::CacheEvent;
use crate::remote::{Change, Notification, RemoteEvent, Subscription};

/// Hears the other nodes for as long as the cache lives.
pub(super) async fn listen<K, V>(home: Weak<Inner<K, V>>, node: Arc<RemoteNode<K, V>>)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let deaf_after = node.config.heartbeat.saturating_mul(SILENT_BEATS);
    let mut pause = FIRST_PAUSE;
    let mut waited = Duration::ZERO;
    loop {
        match node.link.subscribe().await {
            Ok(Some(subscription)) => {
                (pause, waited) = (FIRST_PAUSE, Duration::ZERO);
                // What was stored before may be about what was not heard.
                suspect(&home, &node);
                hear(&home, &node, subscription, deaf_after).await;
                suspect(&home, &node);
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "the backplane cannot be listened to");
                if waited >= deaf_after {
                    waited = Duration::ZERO;
                    suspect(&home, &node);
                }
            }
        }
        if home.strong_count() == 0 {
            return;
        }
        sleep(pause).await;
        waited += pause;
        pause = pause.saturating_mul(2).min(MAX_PAUSE);
    }
}

async fn hear<K, V>(
    home: &Weak<Inner<K, V>>,
    node: &RemoteNode<K, V>,
    mut subscription: Subscription,
    deaf_after: Duration,
) where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    loop {
        match timeout(deaf_after, subscription.next()).await {
            // Not even this node's own signs of life: what is held is trusted for one such silence at a time.
            Err(_) => suspect(home, node),
            Ok(None) => return,
            Ok(Some(delivery)) => match node.link.digest(delivery) {
                Some(RemoteEvent::Changed(notification)) => {
                    let Some(inner) = home.upgrade() else { return };
                    heed(&inner, node, notification);
                }
                Some(RemoteEvent::Suspect(reason)) => {
                    tracing::debug!(?reason, "notifications may have been missed");
                    suspect(home, node);
                }
                None => {}
            },
        }
    }
}

/// Sends signs of life.
pub(super) async fn beat<K, V>(node: Arc<RemoteNode<K, V>>)
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let mut ticks = interval(node.config.heartbeat);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = node.link.heartbeat().await {
            tracing::debug!(%error, "a sign of life was not sent");
        }
    }
}

fn suspect<K, V>(home: &Weak<Inner<K, V>>, node: &RemoteNode<K, V>)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    node.link.doubt_markers();
    if let Some(inner) = home.upgrade() {
        // So that what is kept for failures has a time to be stale from.
        inner.read_clock_for_end();
        inner.generations().suspect();
        inner.emit(CacheEvent::Suspected);
    }
}

/// Applies what another node said.
fn heed<K, V>(inner: &Inner<K, V>, node: &RemoteNode<K, V>, notification: Notification)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let Notification { stamp, change, .. } = notification;
    let older = |key: &K| inner.stamp_of(key).is_none_or(|own| own < stamp);
    match change {
        // A text that is no key of this node is held by it under no key.
        Change::Removed(key) => {
            if let Some(key) = node.keys.parse(&key).filter(older) {
                drop(inner.remove(&key));
            }
        }
        Change::Written(key) | Change::Expired(key) => {
            if let Some(key) = node.keys.parse(&key).filter(older) {
                inner.expire(&key);
            }
        }
        Change::Tag(tag) => inner.open(Scope::Tag(Tag::new(tag))),
        Change::Pattern(text) => {
            if let Some(pattern) = Pattern::from_wire(&text) {
                node.patterns.lock().note(stamp, pattern.clone());
                inner.open(pattern.scope(node.keys));
            } else {
                // Of a newer version, perhaps: what it meant is not known.
                inner.generations().suspect();
                inner.emit(CacheEvent::Suspected);
            }
        }
        Change::Cleared => inner.clear(),
        _ => {}
    }
}

/// So many times a sign of life must fail to come.
const SILENT_BEATS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(5);
