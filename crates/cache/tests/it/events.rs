//! What an observer hears.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedplate_cache::{Cache, CacheEvent, EntryOptions, EvictionPolicy, LoadOutcome, ManualClock, MissCause, Observer};

#[derive(Debug, Default)]
struct Recorder {
    events: Mutex<Vec<CacheEvent>>,
}

impl Observer for Recorder {
    fn on_event(&self, cache: &str, event: &CacheEvent) {
        assert_eq!(cache, "observed");
        self.events.lock().unwrap().push(*event);
    }
}

impl Recorder {
    fn take(&self) -> Vec<CacheEvent> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }
}

#[tokio::test]
async fn every_step_is_told_once() {
    let (recorder, clock) = (Arc::new(Recorder::default()), Arc::new(ManualClock::new()));
    let cache: Cache<u8, u16> = Cache::builder("observed")
        .policy(EvictionPolicy::Lru)
        .max_bytes(216)
        .max_entry_bytes(198)
        .weigher(|_: &u8, value: &u16| u64::from(*value))
        .observer(Arc::clone(&recorder))
        .clock(Arc::<ManualClock>::clone(&clock))
        .build()
        .unwrap();
    assert_eq!(cache.get(&1), None);
    cache.insert(1, 10);
    assert_eq!(cache.get(&1), Some(10));
    assert_eq!(
        recorder.take(),
        [CacheEvent::Miss { cause: MissCause::Absent }, CacheEvent::Inserted { weight: 98 }, CacheEvent::Hit]
    );
    cache.insert(2, 20);
    cache.insert(3, 30);
    cache.insert(4, 400);
    assert_eq!(
        recorder.take(),
        [
            CacheEvent::Inserted { weight: 108 },
            CacheEvent::Inserted { weight: 118 },
            CacheEvent::Evicted { weight: 98 },
            CacheEvent::Evicted { weight: 108 },
            CacheEvent::Refused { weight: 488, limit: 198 },
        ]
    );
    cache.remove(&3);
    cache.insert_with(5, 50, EntryOptions::new().ttl(Duration::from_secs(1)));
    clock.advance(Duration::from_secs(1));
    assert_eq!(cache.get(&5), None);
    cache.clear();
    assert_eq!(
        recorder.take(),
        [
            CacheEvent::Removed { weight: 118 },
            CacheEvent::Inserted { weight: 138 },
            CacheEvent::Expired { weight: 138 },
            CacheEvent::Miss { cause: MissCause::Expired },
            CacheEvent::Cleared { entries: 0 },
        ]
    );
    let loader_clock = Arc::clone(&clock);
    let loaded = cache.get_or_load(6, |_| async move {
        loader_clock.advance(Duration::from_secs(3));
        Ok::<_, std::io::Error>(60)
    });
    assert_eq!(loaded.await.unwrap().into_value(), 60);
    assert_eq!(
        recorder.take(),
        [
            CacheEvent::Miss { cause: MissCause::Absent },
            CacheEvent::LoadStarted,
            CacheEvent::Inserted { weight: 148 },
            CacheEvent::LoadFinished { outcome: LoadOutcome::Stored, elapsed: Duration::from_secs(3) },
        ]
    );
}
