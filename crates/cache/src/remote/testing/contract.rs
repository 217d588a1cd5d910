//! What an implementation must do, checked on itself.

use std::time::Duration;

use bytes::Bytes;

use crate::remote::{
    Backplane, Change, Delivery, Envelope, EnvelopeKind, EnvelopeMeta, LockToken, NodeId, Notification, RemoteError,
    RemoteLock, RemoteTier, Sealed, Stamp, StoreOutcome, Write,
};

/// A clause of a contract that does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// What was observed is not what the contract says.
    #[error("contract broken: {0}")]
    Broken(&'static str),
    /// A call failed that must succeed.
    #[error("a call failed")]
    Failed(#[from] RemoteError),
}

/// Checks a tier; it should be empty at first, and keeps nothing of this afterwards.
///
/// It waits for a time to live of 80 ms to run out: with real time for a real server, at once where time
/// is paused and the tier follows it.
///
/// # Errors
///
/// The first [`Violation`].
pub async fn remote_contract(tier: &dyn RemoteTier) -> Result<(), Violation> {
    let (old, new) = (sealed(1_000, 1, b"old"), sealed(1_000, 2, b"new"));

    holds(tier.load(b"=k").await?.is_none(), "what was never stored is absent")?;
    holds(!tier.remove(b"=k").await?, "removing what is absent says so")?;

    let outcome = tier.store(Write::new(b"=k", &old)).await?;
    holds(outcome == StoreOutcome::Stored, "a first write is stored")?;
    holds(tier.load(b"=k").await?.as_ref() == Some(old.bytes()), "what was stored is loaded as it was")?;
    let outcome = tier.store(Write::new(b"=k", &new)).await?;
    holds(outcome == StoreOutcome::Stored, "a newer write is stored")?;
    let outcome = tier.store(Write::new(b"=k", &old)).await?;
    holds(outcome == StoreOutcome::Outdated, "an older write is told that it is outdated")?;
    holds(tier.load(b"=k").await?.as_ref() == Some(new.bytes()), "an older write changes nothing")?;
    let outcome = tier.store(Write::new(b"=k", &new)).await?;
    holds(outcome == StoreOutcome::Stored, "the same write may be made again")?;

    let skewed = sealed(900_000, 1, b"from the future");
    tier.store(Write::new(b"=k", &skewed)).await?;
    let outcome = tier.store(Write::new(b"=k", &new).trusted_until(899_999)).await?;
    holds(outcome == StoreOutcome::Stored, "a stamp that is not believed is overwritten")?;
    let outcome = tier.store(Write::new(b"=k", &old).trusted_until(1_000)).await?;
    holds(outcome == StoreOutcome::Outdated, "a stamp at the limit is believed")?;

    // Bytes of stamps above and below 128, zero bytes and line ends in keys and values.
    let odd_key: &[u8] = b"=\x00\xff\r\n*?[]{} \xc3\xa9";
    let binary: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let odd = sealed(0x00ff_7f80_0a0d, 0xff, &binary);
    tier.store(Write::new(odd_key, &odd)).await?;
    holds(tier.load(odd_key).await?.as_ref() == Some(odd.bytes()), "keys and values are arbitrary bytes")?;
    let earlier = sealed(0x00ff_7f80_0a0c, 0xffff_ffff, b"");
    let outcome = tier.store(Write::new(odd_key, &earlier)).await?;
    holds(outcome == StoreOutcome::Outdated, "stamps are compared as numbers")?;

    let keys = [b"=none".as_slice(), b"=k", odd_key].map(Bytes::copy_from_slice);
    let found = tier.load_many(&keys).await?;
    let expected = [None, Some(new.bytes().clone()), Some(odd.bytes().clone())];
    holds(found == expected, "a batch answers in the order of its keys")?;
    holds(tier.load_many(&[]).await?.is_empty(), "an empty batch is answered")?;

    tier.store(Write::new(b"=short", &new).ttl(Some(Duration::from_millis(80)))).await?;
    tier.store(Write::new(b"=long", &new).ttl(Some(Duration::MAX))).await?;
    holds(tier.load(b"=short").await?.is_some(), "what has not run out is there")?;
    tokio::time::sleep(Duration::from_millis(120)).await;
    holds(tier.load(b"=short").await?.is_none(), "what has run out is absent")?;
    let outcome = tier.store(Write::new(b"=short", &old)).await?;
    holds(outcome == StoreOutcome::Stored, "what has run out stands in nobody's way")?;
    holds(tier.load(b"=long").await?.is_some(), "the longest time does not overflow")?;

    let matches = |key: &[u8]| key == b"=k" || key == b"=long" || key == b"=short";
    let purged = tier.purge(&matches, new.stamp()).await?;
    holds(purged == 1, "a purge counts what it removed")?;
    holds(tier.load(b"=short").await?.is_none(), "a purge removes what is older")?;
    holds(tier.load(b"=k").await?.is_some(), "a purge spares what is as new")?;
    holds(tier.load(odd_key).await?.is_some(), "a purge spares what does not match")?;

    for key in [b"=k".as_slice(), b"=long", odd_key] {
        holds(tier.remove(key).await?, "removing what is there says so")?;
        holds(tier.load(key).await?.is_none(), "what was removed is absent")?;
    }
    Ok(())
}

/// Checks a lock.
///
/// # Errors
///
/// The first [`Violation`].
pub async fn lock_contract(lock: &dyn RemoteLock) -> Result<(), Violation> {
    let (one, two) = (LockToken::random(), LockToken::random());
    let long = Duration::from_mins(1);
    holds(lock.acquire(b"k", one, long).await?, "a free lock is taken")?;
    holds(!lock.acquire(b"k", two, long).await?, "a taken lock is refused")?;
    holds(lock.acquire(b"k", one, long).await?, "the holder takes it again")?;
    holds(lock.acquire(b"other", two, long).await?, "another key is another lock")?;
    holds(!lock.release(b"k", two).await?, "who does not hold it does not release it")?;
    holds(!lock.acquire(b"k", two, long).await?, "it is still held")?;
    holds(lock.release(b"k", one).await?, "the holder releases it")?;
    holds(!lock.release(b"k", one).await?, "it is released once")?;
    holds(lock.acquire(b"k", two, Duration::from_millis(60)).await?, "a released lock is taken")?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    holds(lock.acquire(b"k", one, long).await?, "a lease that ran out is taken over")?;
    holds(!lock.release(b"k", two).await?, "who lost it does not release it")?;
    lock.release(b"k", one).await?;
    lock.release(b"other", two).await?;
    Ok(())
}

/// Checks a backplane; nobody else should publish on it meanwhile.
///
/// # Errors
///
/// The first [`Violation`].
pub async fn backplane_contract(backplane: &dyn Backplane) -> Result<(), Violation> {
    let word = |sequence, change| Notification::new(Stamp::new(7, 0, NodeId::new(9)), sequence, change);
    backplane.publish(&word(1, Change::Cleared)).await?;
    let mut early = backplane.subscribe().await?;
    let mut late = backplane.subscribe().await?;
    let changes = [
        Change::Written(Bytes::from_static(b"k\x00\xff")),
        Change::Tag("täg".to_owned()),
        Change::Pattern("a*".to_owned()),
        Change::Suspect,
        Change::Heartbeat,
    ];
    for (sequence, change) in (2..).zip(&changes) {
        backplane.publish(&word(sequence, change.clone())).await?;
    }
    for subscription in [&mut early, &mut late] {
        for (sequence, change) in (2..).zip(&changes) {
            let heard = tokio::time::timeout(Duration::from_secs(5), subscription.next()).await;
            let expected = Delivery::Message(word(sequence, change.clone()));
            holds(heard == Ok(Some(expected)), "every subscriber hears all since it subscribed, in order")?;
        }
    }
    drop(early);
    backplane.publish(&word(7, Change::Cleared)).await?;
    let heard = tokio::time::timeout(Duration::from_secs(5), late.next()).await;
    let expected = Delivery::Message(word(7, Change::Cleared));
    holds(heard == Ok(Some(expected)), "one subscriber's end is not the other's")?;
    Ok(())
}

fn holds(clause: bool, what: &'static str) -> Result<(), Violation> {
    if clause { Ok(()) } else { Err(Violation::Broken(what)) }
}

fn sealed(millis: u64, counter: u32, payload: &[u8]) -> Sealed {
    let meta = EnvelopeMeta::new(EnvelopeKind::Value, Stamp::new(millis, counter, NodeId::new(0x80ff)));
    match Envelope::seal(&meta, 0, payload, None) {
        Ok(sealed) => sealed,
        Err(error) => unreachable_seal(&error),
    }
}

#[expect(clippy::panic, reason = "a payload of some bytes always fits: the suite itself is broken otherwise")]
fn unreachable_seal(error: &crate::remote::CodecError) -> ! {
    panic!("{error}")
}
