//! The contract suites on what needs no server; and that they can fail.

use bedplate_cache::remote::testing::{Manner, Unruly, Violation, backplane_contract, lock_contract, remote_contract};
use bedplate_cache::remote::{MemoryBackplane, MemoryTier};

#[tokio::test(start_paused = true)]
async fn memory_keeps_the_contracts() {
    let tier = MemoryTier::new();
    remote_contract(&tier).await.unwrap();
    assert!(tier.is_empty(), "the suite leaves nothing behind");
    lock_contract(&tier).await.unwrap();
    backplane_contract(&MemoryBackplane::default()).await.unwrap();
}

#[cfg(feature = "disk")]
#[tokio::test]
async fn a_folder_keeps_the_contract() {
    use bedplate_cache::remote::{DiskTier, DiskTierConfig};

    let folder = tempfile::tempdir().unwrap();
    let tier = DiskTier::open(folder.path(), DiskTierConfig::default()).unwrap();
    remote_contract(&tier).await.unwrap();
    assert_eq!(tier.bytes(), 0, "the suite leaves nothing behind");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_suites_find_what_breaks_them() {
    let tier = Unruly::new(MemoryTier::new());
    tier.set(Manner::Garbage);
    assert!(matches!(remote_contract(&tier).await, Err(Violation::Broken(_))));
    tier.set(Manner::Flaky(5));
    assert!(matches!(lock_contract(&tier).await, Err(Violation::Failed(_))));
    let narrow = MemoryBackplane::new(1);
    assert!(matches!(backplane_contract(&narrow).await, Err(Violation::Broken(_))));
}

#[cfg(feature = "disk")]
mod disk {
    use std::sync::Arc;
    use std::time::Duration;

    use bedplate_cache::remote::{
        DiskTier, DiskTierConfig, Envelope, EnvelopeKind, EnvelopeMeta, ManualWallClock, NodeId, RemoteError,
        RemoteTier as _, Sealed, Stamp, Write,
    };

    fn sealed(at: u64, size: usize) -> Sealed {
        let meta = EnvelopeMeta::new(EnvelopeKind::Value, Stamp::new(at, 0, NodeId::new(1)));
        Envelope::seal(&meta, 0, &vec![7; size], None).unwrap()
    }

    fn config(max_bytes: u64) -> DiskTierConfig {
        let mut config = DiskTierConfig::default();
        config.max_bytes = max_bytes;
        config
    }

    #[tokio::test]
    async fn a_restart_finds_what_was_whole_and_drops_what_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualWallClock::at(1_000));
        let open = || DiskTier::open_with(folder.path(), config(1 << 20), Arc::clone(&clock)).unwrap();
        let tier = open();
        let value = sealed(1, 100);
        for key in [b"a", b"b", b"c"] {
            tier.store(Write::new(key, &value).ttl(Some(Duration::from_millis(500)))).await.unwrap();
        }
        drop(tier);
        std::fs::write(folder.path().join("0000.writing"), b"half of").unwrap();
        let mut files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "entry"));
        let whole = std::fs::read(&files[0]).unwrap();
        std::fs::write(&files[0], &whole[..whole.len() / 2]).unwrap();

        let tier = open();
        assert!(!folder.path().join("0000.writing").exists());
        let mut found = 0;
        for key in [b"a", b"b", b"c"] {
            found += usize::from(tier.load(key).await.unwrap().is_some_and(|bytes| bytes == value.bytes()));
        }
        assert_eq!(found, 2, "two are whole, the torn one is absent");
        clock.advance(500);
        assert_eq!(tier.load(b"a").await.unwrap(), None, "time goes on over a restart");
        assert_eq!(tier.load(b"c").await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_folder_keeps_its_budget_and_gives_up_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let tier = DiskTier::open(folder.path(), config(10_000)).unwrap();
        for key in 0_u32..50 {
            tier.store(Write::new(&key.to_be_bytes(), &sealed(1, 1_000))).await.unwrap();
            let on_disk: u64 =
                std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
            assert!(on_disk <= 10_000);
            assert_eq!(on_disk, tier.bytes());
        }
        assert!(tier.load(&49_u32.to_be_bytes()).await.unwrap().is_some());
        assert!(tier.load(&0_u32.to_be_bytes()).await.unwrap().is_none());
        let error = tier.store(Write::new(b"large", &sealed(1, 20_000))).await.unwrap_err();
        assert!(matches!(error, RemoteError::TooLarge { limit: 10_000, .. }), "{error}");
    }
}
