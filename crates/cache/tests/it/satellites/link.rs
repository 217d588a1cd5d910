//! Two nodes over a tier and a backplane that misbehave, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use bedplate_cache::ManualClock;
use bedplate_cache::remote::testing::{Manner, Unruly};
use bedplate_cache::remote::{
    BreakerState, BytesCodec, Change, Delivery, DistributedFlight, EnvelopeKind, EnvelopeMeta, FlightConfig, GapReason,
    LinkConfig, Loaded, ManualWallClock, MemoryBackplane, MemoryTier, NodeId, RemoteEvent, RemoteLink, Stamp,
    Subscription, Turn, Wire, Written,
};
use bytes::Bytes;

struct World {
    tier: Unruly<MemoryTier>,
    raw: MemoryTier,
    backplane: Unruly<MemoryBackplane>,
    wall: Arc<ManualWallClock>,
    clock: Arc<ManualClock>,
    wire: Wire<Bytes>,
}

impl World {
    fn new() -> Self {
        let raw = MemoryTier::new();
        Self {
            tier: Unruly::new(raw.clone()),
            raw,
            backplane: Unruly::new(MemoryBackplane::default()),
            wall: Arc::new(ManualWallClock::at(1_000_000)),
            clock: Arc::new(ManualClock::new()),
            wire: Wire::new(BytesCodec::new()),
        }
    }

    fn node(&self, id: u64) -> RemoteLink {
        self.node_with(id, LinkConfig::default())
    }

    fn node_with(&self, id: u64, mut config: LinkConfig) -> RemoteLink {
        config.node = NodeId::new(id);
        let (wall, clock) = (Arc::<ManualWallClock>::clone(&self.wall), Arc::<ManualClock>::clone(&self.clock));
        RemoteLink::new(config).unwrap().tier(self.tier.clone()).backplane(self.backplane.clone()).clocks(wall, clock)
    }

    /// Lets time pass on both clocks.
    fn pass(&self, seconds: u64) {
        self.wall.advance(seconds * 1000);
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn manner(&self, manner: Manner) {
        self.tier.set(manner);
        self.backplane.set(manner);
    }

    async fn write(&self, link: &RemoteLink, key: &str, value: &'static str, tags: &[&str]) -> Written {
        let stamp = link.stamp();
        self.write_at(link, stamp, key, value, tags).await
    }

    async fn write_at(
        &self,
        link: &RemoteLink,
        stamp: Stamp,
        key: &str,
        value: &'static str,
        tags: &[&str],
    ) -> Written {
        let until = link.millis() + 3_600_000;
        let meta = EnvelopeMeta::new(EnvelopeKind::Value, stamp).keep_until(until).tags(tags.iter().copied());
        let sealed = self.wire.seal(&meta, Some(&Bytes::from_static(value.as_bytes()))).unwrap();
        link.write(key.as_bytes(), sealed, Some(until)).await
    }

    async fn read(&self, link: &RemoteLink, key: &str) -> Option<Bytes> {
        match link.load(key.as_bytes(), &self.wire).await {
            Loaded::Found(opened) => opened.value,
            _ => None,
        }
    }
}

async fn hear(link: &RemoteLink, subscription: &mut Subscription) -> Vec<RemoteEvent> {
    let mut events = Vec::new();
    while let Ok(Some(delivery)) = tokio::time::timeout(Duration::from_millis(1), subscription.next()).await {
        events.extend(link.digest(delivery));
    }
    events
}

fn changes(events: &[RemoteEvent]) -> Vec<Change> {
    let change = |event: &RemoteEvent| match event {
        RemoteEvent::Changed(notification) => Some(notification.change.clone()),
        _ => None,
    };
    events.iter().filter_map(change).collect()
}

fn written(key: &'static str) -> Change {
    Change::Written(Bytes::from_static(key.as_bytes()))
}

#[tokio::test(start_paused = true)]
async fn one_node_reads_and_hears_what_the_other_wrote_and_not_its_own_words() {
    let world = World::new();
    let (one, two) = (world.node(1), world.node(2));
    let mut at_one = one.subscribe().await.unwrap().unwrap();
    let mut at_two = two.subscribe().await.unwrap().unwrap();
    assert_eq!(world.write(&one, "k", "v", &[]).await, Written::Stored);
    assert_eq!(world.read(&two, "k").await.as_deref(), Some(b"v".as_slice()));
    assert_eq!(changes(&hear(&two, &mut at_two).await), [written("k")]);
    assert_eq!(hear(&one, &mut at_one).await, []);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_invalidation_hides_what_is_older_and_nothing_else() {
    let world = World::new();
    for (change, hidden) in [
        (Change::Removed(Bytes::from_static(b"user:1")), ["user:1"].as_slice()),
        (Change::Tag("red".to_owned()), &["user:1", "page:1"]),
        (Change::Pattern("user:*".to_owned()), &["user:1", "user:2"]),
        (Change::Cleared, &["user:1", "user:2", "page:1"]),
    ] {
        let (one, two) = (world.node(1), world.node(2));
        for (key, tags) in [("user:1", ["red"].as_slice()), ("user:2", &["blue"]), ("page:1", &["red", "blue"])] {
            assert_eq!(world.write(&one, key, "old", tags).await, Written::Stored);
        }
        world.pass(1);
        let began = two.stamp();
        world.pass(1);
        let stamp = one.stamp();
        assert_eq!(one.invalidate(change.clone(), stamp).await, Written::Stored);
        for key in ["user:1", "user:2", "page:1"] {
            let expected = if hidden.contains(&key) { None } else { Some(Bytes::from_static(b"old")) };
            // The second node never heard of it: what the tier holds is enough.
            assert_eq!(world.read(&two, key).await, expected, "{change:?} {key}");
        }
        // A load that began before the invalidation is not served after it, but for a pattern: its word
        // lives in the nodes, whose engine compares the stamps.
        if !matches!(change, Change::Pattern(_)) {
            world.write_at(&two, began, "user:1", "began before", &["red"]).await;
            assert_eq!(world.read(&one, "user:1").await, None, "{change:?}");
        }
        world.pass(1);
        assert_eq!(world.write(&two, "user:1", "new", &["red"]).await, Written::Stored);
        assert_eq!(world.read(&one, "user:1").await.as_deref(), Some(b"new".as_slice()), "{change:?}");
        world.pass(10);
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_queues_the_last_word_per_key_and_replays_it_remote_first() {
    let world = World::new();
    let (one, two) = (world.node(1), world.node(2));
    world.write(&one, "k", "before", &[]).await;
    let mut at_two = two.subscribe().await.unwrap().unwrap();
    world.manner(Manner::Down);
    for value in ["first", "second", "third"] {
        world.pass(1);
        assert_eq!(world.write(&one, "k", value, &[]).await, Written::Queued);
    }
    let stamp = one.stamp();
    assert_eq!(one.invalidate(Change::Tag("t".to_owned()), stamp).await, Written::Queued);
    assert_eq!((one.stats().waiting, one.stats().queued), (2, 4));
    assert_eq!(one.replay().await.remaining, 2, "the remote is still down");

    world.manner(Manner::Well);
    world.pass(60);
    let replay = one.replay().await;
    assert_eq!((replay.steps, replay.remaining), (4, 0));
    assert_eq!(changes(&hear(&two, &mut at_two).await), [written("k"), Change::Tag("t".to_owned())]);
    assert_eq!(world.read(&two, "k").await.as_deref(), Some(b"third".as_slice()));
}

#[tokio::test(start_paused = true)]
async fn a_replay_does_not_undo_what_another_node_wrote_meanwhile() {
    let world = World::new();
    let (one, two) = (world.node(1), world.node(2));
    world.manner(Manner::Down);
    assert_eq!(world.write(&one, "k", "old", &[]).await, Written::Queued);
    world.manner(Manner::Well);
    world.pass(1);
    assert_eq!(world.write(&two, "k", "new", &[]).await, Written::Stored);
    let replay = one.replay().await;
    assert_eq!(replay.outdated, [Bytes::from_static(b"k")], "the node is told to drop what it holds");
    assert_eq!(replay.remaining, 0);
    assert_eq!(world.read(&one, "k").await.as_deref(), Some(b"new".as_slice()));
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_made_again_without_harm() {
    let world = World::new();
    let (one, two) = (world.node(1), world.node(2));
    world.manner(Manner::Mute);
    assert_eq!(world.write(&one, "k", "v", &[]).await, Written::Queued);
    world.manner(Manner::Well);
    assert_eq!(one.replay().await.remaining, 0);
    assert_eq!(world.read(&two, "k").await.as_deref(), Some(b"v".as_slice()));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_remote_costs_its_timeout_five_times_and_then_nothing() {
    let world = World::new();
    let one = world.node(1);
    world.manner(Manner::Stuck);
    let before = tokio::time::Instant::now();
    for _ in 0..100 {
        assert!(matches!(one.load(b"k", &world.wire).await, Loaded::Failed(_)));
    }
    assert_eq!(before.elapsed().as_secs(), 5);
    assert_eq!(one.breaker_state(), BreakerState::Open);
    let stats = one.stats();
    assert_eq!((stats.failures, stats.refused), (5, 95));
    world.manner(Manner::Well);
    world.pass(1);
    assert!(matches!(one.load(b"k", &world.wire).await, Loaded::Missing));
    assert_eq!(one.breaker_state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn garbage_and_what_a_newer_version_wrote_are_counted_misses() {
    let world = World::new();
    let one = world.node(1);
    for bytes in [b"".as_slice(), b"x", b"BPCE\x09later", &[0xff; 300]] {
        world.raw.plant(b"=k", bytes.to_vec());
        assert!(matches!(one.load(b"k", &world.wire).await, Loaded::Unreadable(_)));
    }
    assert_eq!(one.stats().unreadable, 4);
    assert_eq!(world.write(&one, "k", "v", &[]).await, Written::Stored, "garbage is overwritten");
    assert_eq!(world.read(&one, "k").await.as_deref(), Some(b"v".as_slice()));
}

#[tokio::test(start_paused = true)]
async fn an_overflow_makes_all_that_is_older_suspect() {
    let world = World::new();
    let mut config = LinkConfig::default();
    config.recovery.max_items = 2;
    let (one, two) = (world.node_with(1, config), world.node(2));
    for key in ["a", "b", "c"] {
        world.write(&one, key, "old", &[]).await;
    }
    world.pass(1);
    let mut at_two = two.subscribe().await.unwrap().unwrap();
    world.manner(Manner::Down);
    for key in ["a", "b", "c"] {
        let stamp = one.stamp();
        one.invalidate(Change::Removed(Bytes::from_static(key.as_bytes())), stamp).await;
    }
    assert_eq!(one.stats().lost, 1);
    world.manner(Manner::Well);
    world.pass(60);
    let replay = one.replay().await;
    assert_eq!(replay.remaining, 0);
    assert!(hear(&two, &mut at_two).await.contains(&RemoteEvent::Suspect(GapReason::Suspect)));
    for key in ["a", "b", "c"] {
        assert_eq!(world.read(&two, key).await, None, "the lost removal of {key} is not forgotten");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_notification_is_seen_in_the_next_one() {
    let world = World::new();
    let (one, two) = (world.node(1), world.node(2));
    let mut at_two = two.subscribe().await.unwrap().unwrap();
    let mut deliveries = Vec::new();
    for key in ["a", "b", "c"] {
        world.write(&one, key, "v", &[]).await;
        deliveries.push(at_two.next().await.unwrap());
    }
    assert!(matches!(two.digest(deliveries.remove(0)), Some(RemoteEvent::Changed(_))));
    assert_eq!(two.digest(deliveries.remove(1)), Some(RemoteEvent::Suspect(GapReason::Sequence)));
    assert_eq!(two.digest(Delivery::Gap(GapReason::Reconnected)), Some(RemoteEvent::Suspect(GapReason::Reconnected)));
    assert_eq!(two.stats().gaps, 2);
    one.heartbeat().await.unwrap();
    assert_eq!(hear(&two, &mut at_two).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_clock_is_a_year_ahead_neither_wins_nor_is_believed() {
    let world = World::new();
    let two = world.node(2);
    let ahead = Arc::new(ManualWallClock::at(1_000_000 + 365 * 24 * 3_600_000));
    let mut config = LinkConfig::default();
    config.node = NodeId::new(1);
    let mad = RemoteLink::new(config).unwrap().tier(world.tier.clone()).backplane(world.backplane.clone());
    let mad = mad.clocks(ahead, Arc::<ManualClock>::clone(&world.clock));
    let mut at_two = two.subscribe().await.unwrap().unwrap();
    world.write(&mad, "k", "mad", &[]).await;
    assert_eq!(world.read(&two, "k").await, None, "what it wrote is not served");
    assert_eq!(hear(&two, &mut at_two).await, [RemoteEvent::Suspect(GapReason::Skewed)]);
    assert_eq!(world.write(&two, "k", "sane", &[]).await, Written::Stored, "it is overwritten");
    assert_eq!(world.read(&two, "k").await.as_deref(), Some(b"sane".as_slice()));
    let stamp = mad.stamp();
    mad.invalidate(Change::Cleared, stamp).await;
    assert_eq!(world.read(&two, "k").await.as_deref(), Some(b"sane".as_slice()), "its clear is not believed");
}

#[tokio::test(start_paused = true)]
async fn a_clock_a_little_behind_does_not_lose_its_writes() {
    let world = World::new();
    let one = world.node(1);
    let behind = Arc::new(ManualWallClock::at(1_000_000 - 3_000));
    let mut config = LinkConfig::default();
    config.node = NodeId::new(2);
    let two = RemoteLink::new(config)
        .unwrap()
        .tier(world.tier.clone())
        .clocks(behind, Arc::<ManualClock>::clone(&world.clock));
    world.write(&one, "k", "of one", &[]).await;
    assert!(world.read(&two, "k").await.is_some(), "it sees the stamp of the other");
    assert_eq!(world.write(&two, "k", "of two", &[]).await, Written::Stored);
    assert_eq!(world.read(&one, "k").await.as_deref(), Some(b"of two".as_slice()));
}

#[tokio::test(start_paused = true)]
async fn no_value_outlives_the_word_that_it_is_old() {
    let world = World::new();
    let mut config = LinkConfig::default();
    config.tombstone_ttl = Duration::from_mins(1);
    let (one, two) = (world.node_with(1, config), world.node(2));
    let meta = EnvelopeMeta::new(EnvelopeKind::Value, one.stamp());
    let sealed = world.wire.seal(&meta, Some(&Bytes::from_static(b"old"))).unwrap();
    world.pass(1);
    let stamp = one.stamp();
    assert_eq!(one.invalidate(Change::Cleared, stamp).await, Written::Stored);
    // The value began before, is without end, and arrives late.
    assert_eq!(one.write(b"k", sealed, None).await, Written::Stored);
    for second in 0..120 {
        assert_eq!(world.read(&two, "k").await, None, "after {second} s");
        tokio::time::advance(Duration::from_secs(1)).await;
        world.pass(1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_answers_as_its_keys_would_in_two_calls() {
    let world = World::new();
    let (one, two) = (world.node(1), world.node(2));
    for (key, tags) in [("a", ["red"].as_slice()), ("b", &["blue", "green"]), ("c", &[])] {
        world.write(&one, key, "v", tags).await;
    }
    world.raw.plant(b"=d", b"garbage".as_slice());
    world.pass(1);
    let stamp = one.stamp();
    one.invalidate(Change::Tag("green".to_owned()), stamp).await;
    let before = world.tier.calls();
    let loaded = two.load_many(&[b"a".as_slice(), b"b", b"c", b"d", b"e"], &world.wire).await.unwrap();
    assert_eq!(world.tier.calls() - before, 2, "values with the marker of all, then the markers of tags");
    let found = loaded.iter().map(|loaded| match loaded {
        Loaded::Found(_) => "found",
        Loaded::Missing => "missing",
        _ => "unreadable",
    });
    assert_eq!(found.collect::<Vec<_>>(), ["found", "missing", "found", "unreadable", "missing"]);
    world.manner(Manner::Down);
    assert!(two.load_many(&[b"a".as_slice()], &world.wire).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn recovery_runs_by_itself_until_nothing_waits() {
    let world = World::new();
    let one = Arc::new(RemoteLink::new(LinkConfig::default()).unwrap().tier(world.tier.clone()));
    world.manner(Manner::Down);
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let link = Arc::clone(&one);
    let task = tokio::spawn(async move { link.recover(move |replay| sender.send(replay).unwrap()).await });
    for key in ["a", "b", "c", "d", "e", "f"] {
        assert_eq!(world.write(&one, key, "v", &[]).await, Written::Queued);
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(one.stats().waiting, 6);
    world.manner(Manner::Well);
    let replay = receiver.recv().await.unwrap();
    assert_eq!((replay.steps, replay.remaining), (12, 0));
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn of_many_nodes_one_loads_and_a_dead_leader_is_replaced() {
    let lock = Unruly::new(MemoryTier::new());
    let flight = DistributedFlight::new(lock.clone(), FlightConfig::default());
    let found = Arc::new(parking_lot_free::Slot::default());
    let Turn::Lead(guard) = flight.enter(b"k", || async { None::<u8> }).await else { panic!("the first leads") };
    let mut followers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (flight, found) = (flight.clone(), Arc::clone(&found));
        followers.spawn(async move {
            let look = || {
                let found = found.get();
                async move { found }
            };
            matches!(flight.enter(b"k", look).await, Turn::Follow(7))
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    found.set(7);
    assert!(guard.release().await);
    assert!(followers.join_all().await.into_iter().all(|followed| followed));

    // A leader that vanished: the next one waits for its lease, and no longer.
    let Turn::Lead(guard) = flight.enter(b"dead", || async { None::<u8> }).await else { panic!("the first leads") };
    let _crashed = std::mem::ManuallyDrop::new(guard);
    let before = tokio::time::Instant::now();
    let turn = flight.enter(b"dead", || async { None::<u8> }).await;
    assert!(matches!(turn, Turn::Lead(_)));
    assert!((9..12).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());

    // No lock, no wait.
    lock.set(Manner::Down);
    assert!(matches!(flight.enter(b"k", || async { None::<u8> }).await, Turn::Alone));
}

mod parking_lot_free {
    use std::sync::atomic::{AtomicU8, Ordering};

    #[derive(Default)]
    pub(super) struct Slot(AtomicU8);

    impl Slot {
        pub(super) fn set(&self, value: u8) {
            self.0.store(value, Ordering::SeqCst);
        }

        pub(super) fn get(&self) -> Option<u8> {
            Some(self.0.load(Ordering::SeqCst)).filter(|value| *value > 0)
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_tier_that_panics_fails_the_call_and_recovery_goes_on() {
    let world = World::new();
    let one = Arc::new(RemoteLink::new(LinkConfig::default()).unwrap().tier(world.tier.clone()));
    let link = Arc::clone(&one);
    let task = tokio::spawn(async move { link.recover(drop).await });
    world.tier.set(Manner::Panicking);
    for key in ["a", "b"] {
        assert_eq!(world.write(&one, key, "v", &[]).await, Written::Queued);
    }
    assert_eq!(world.read(&one, "a").await, None);
    // Time for a few replays, and not for as many as pass a word over.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!task.is_finished());
    let stats = one.stats();
    assert!(stats.panics >= 2 && stats.failures >= stats.panics, "{stats:?}");
    world.tier.set(Manner::Well);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(!task.is_finished());
    assert_eq!(one.stats().waiting, 0);
    for key in ["a", "b"] {
        assert_eq!(world.read(&one, key).await.as_deref(), Some(b"v".as_slice()), "{key}");
    }
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_word_that_makes_the_tier_panic_does_not_hold_up_those_behind_it_for_ever() {
    let world = World::new();
    let (one, two) = (Arc::new(world.node(1)), world.node(2));
    let mut at_two = two.subscribe().await.unwrap().unwrap();
    world.tier.set(Manner::Panicking);
    assert_eq!(world.write(&one, "poison", "v", &[]).await, Written::Queued);
    let replayed = async {
        let mut attempts = 0;
        while one.stats().waiting > 0 {
            // As long as the breaker of the link may be open.
            world.pass(60);
            one.replay().await;
            attempts += 1;
        }
        attempts
    };
    assert_eq!(replayed.await, 3, "it is given another chance, and not for ever");
    assert!(!hear(&two, &mut at_two).await.is_empty(), "the others are told all the same");
}

#[test]
fn settings_of_a_link_that_cannot_be_are_named() {
    type Set = fn(&mut LinkConfig);
    let refused: [(&str, &str, Set); 11] = [
        ("timeout", "0s", |config| config.timeout = Duration::ZERO),
        ("tombstone_ttl", "1µs", |config| config.tombstone_ttl = Duration::from_micros(1)),
        ("max_skew", "86400s", |config| config.max_skew = Duration::from_hours(24)),
        ("marker_ttl", "90000s", |config| config.marker_ttl = Duration::from_hours(25)),
        ("breaker.failures", "0", |config| config.breaker.failures = 0),
        ("breaker.open_for", "0s", |config| config.breaker.open_for = Duration::ZERO),
        ("breaker.max_open_for", "500ms", |config| config.breaker.max_open_for = Duration::from_millis(500)),
        ("breaker.probe_timeout", "1s", |config| config.breaker.probe_timeout = Duration::from_secs(1)),
        ("recovery.max_items", "0", |config| config.recovery.max_items = 0),
        ("recovery.max_bytes", "4095", |config| config.recovery.max_bytes = 4095),
        ("timeout", "0s", |config| (config.timeout, config.breaker.failures) = (Duration::ZERO, 0)),
    ];
    for (field, value, set) in refused {
        let mut config = LinkConfig::default();
        set(&mut config);
        let error = RemoteLink::new(config).unwrap_err();
        assert_eq!((error.field(), error.value()), (field, value), "{error}");
        assert!(!error.expected().is_empty());
    }
    let mut least = LinkConfig::default();
    (least.max_skew, least.marker_ttl) = (Duration::ZERO, Duration::ZERO);
    (least.breaker.failures, least.recovery.max_items, least.recovery.max_bytes) = (1, 1, 4096);
    least.breaker.max_open_for = least.breaker.open_for;
    assert!(RemoteLink::new(least).is_ok());
}
