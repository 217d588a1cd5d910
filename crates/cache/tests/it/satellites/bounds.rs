//! What crosses threads can.

use bedplate_cache::advise::{HitRatioCurve, RatioAlert, Shadow, SharedShadow};

fn crosses<T: Send + Sync + 'static>() {}

#[test]
fn every_public_type_crosses_threads() {
    crosses::<Shadow>();
    crosses::<SharedShadow>();
    crosses::<HitRatioCurve>();
    crosses::<RatioAlert>();
    #[cfg(feature = "remote")]
    {
        use bedplate_cache::remote::{
            DistributedFlight, LeaseGuard, MemoryBackplane, MemoryTier, RecoveryQueue, RemoteError, RemoteLink,
            StampClock, Subscription, Wire,
        };
        crosses::<RemoteLink>();
        crosses::<RecoveryQueue>();
        crosses::<StampClock>();
        crosses::<Subscription>();
        crosses::<Wire<std::cell::Cell<u8>>>();
        crosses::<RemoteError>();
        crosses::<MemoryTier>();
        crosses::<MemoryBackplane>();
        crosses::<DistributedFlight>();
        crosses::<LeaseGuard>();
    }
    #[cfg(feature = "disk")]
    crosses::<bedplate_cache::remote::DiskTier>();
    #[cfg(feature = "redis")]
    {
        crosses::<bedplate_cache::remote::RedisTier>();
        crosses::<bedplate_cache::remote::RedisBackplane>();
    }
    #[cfg(feature = "semantic")]
    {
        use bedplate_cache::semantic::{ContentGate, NgramEmbedder, SemanticIndex};
        crosses::<SemanticIndex<String>>();
        crosses::<NgramEmbedder>();
        crosses::<ContentGate>();
    }
    #[cfg(feature = "snapshot")]
    {
        crosses::<bedplate_cache::snapshot::SnapshotReader>();
        crosses::<bedplate_cache::snapshot::SnapshotWriter>();
    }
}

#[cfg(feature = "remote")]
#[test]
fn the_futures_of_a_link_can_be_spawned() {
    use std::sync::Arc;

    use bedplate_cache::remote::{BytesCodec, Change, LinkConfig, RemoteLink, Wire};
    use bytes::Bytes;

    fn spawnable<F: Future + Send + 'static>(future: F) {
        drop(future);
    }
    let link = Arc::new(RemoteLink::new(LinkConfig::default()).unwrap());
    let of = || Arc::clone(&link);
    let wire = Wire::<Bytes>::new(BytesCodec::new());
    let (one, two, three, four) = (of(), of(), of(), of());
    spawnable(async move { drop(one.load(b"k", &wire).await) });
    spawnable(async move { two.recover(|_| ()).await });
    spawnable(async move { three.invalidate(Change::Cleared, three.stamp()).await });
    spawnable(async move { four.subscribe().await.is_ok() });
}
