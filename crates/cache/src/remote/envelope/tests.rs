use proptest::prelude::*;

use super::*;
use crate::remote::NodeId;

fn kinds() -> impl Strategy<Value = EnvelopeKind> {
    prop::sample::select(vec![
        EnvelopeKind::Value,
        EnvelopeKind::Negative,
        EnvelopeKind::Tombstone,
        EnvelopeKind::Marker,
    ])
}

fn metas() -> impl Strategy<Value = EnvelopeMeta> {
    let tags = prop::collection::vec("[a-zé:]{0,12}", 0..4);
    (kinds(), any::<(u64, u32, u64)>(), any::<(u64, u64)>(), tags).prop_map(|(kind, stamp, (fresh, keep), tags)| {
        let stamp = Stamp::new(stamp.0, stamp.1, NodeId::new(stamp.2));
        EnvelopeMeta::new(kind, stamp).fresh_until(fresh).keep_until(keep).tags(tags)
    })
}

fn sample() -> Sealed {
    let meta = EnvelopeMeta::new(EnvelopeKind::Value, Stamp::new(7, 1, NodeId::new(3))).tags(["catalog"]);
    Envelope::seal(&meta, 1, b"payload payload payload payload", None).unwrap()
}

/// Bytes whose checksum is right, whatever else they say.
fn resealed(mut bytes: Vec<u8>) -> Bytes {
    let body = bytes.len() - CHECKSUM;
    bytes.truncate(body);
    bytes.put_u64(xxhash_rust::xxh3::xxh3_64(&bytes));
    bytes.into()
}

proptest! {
    #[test]
    fn what_is_sealed_opens_as_it_was(
        meta in metas(), codec: u8, payload in prop::collection::vec(0_u8..4, 0..600), compress: bool,
    ) {
        let sealed = Envelope::seal(&meta, codec, &payload, compress.then_some(64)).unwrap();
        prop_assert_eq!(Sealed::peek_stamp(sealed.bytes()), Some(meta.stamp));
        let opened = Envelope::open(sealed.bytes(), EnvelopeLimits::default()).unwrap();
        prop_assert_eq!(&opened.meta, &meta);
        prop_assert_eq!(opened.codec, codec);
        prop_assert_eq!(&opened.payload[..], &payload[..]);
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let opened = Envelope::open(&Bytes::from(bytes), EnvelopeLimits::default());
        prop_assert!(opened.is_err());
    }

    #[test]
    fn a_changed_head_with_a_right_checksum_never_panics_nor_takes_memory(
        at in 4_usize..80, to: u8, cut in 0_usize..40,
    ) {
        let mut bytes = sample().bytes().to_vec();
        let at = at.min(bytes.len() - 1);
        bytes[at] = to;
        bytes.truncate(bytes.len() - cut);
        let opened = Envelope::open(&resealed(bytes), EnvelopeLimits::new(1 << 16));
        if let Ok(opened) = opened {
            prop_assert!(opened.payload.len() <= 1 << 16);
        }
    }

    #[test]
    fn every_flipped_bit_is_found(bit in 0_usize..8 * 80) {
        let mut bytes = sample().bytes().to_vec();
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Envelope::open(&bytes.into(), EnvelopeLimits::default()).is_err());
    }
}

#[test]
fn every_prefix_is_refused() {
    let whole = sample();
    for length in 0..whole.bytes().len() {
        let error = Envelope::open(&whole.bytes().slice(..length), EnvelopeLimits::default()).unwrap_err();
        let expected = if length < 4 { EnvelopeError::NotAnEnvelope } else { EnvelopeError::Truncated };
        assert_eq!(error, expected, "at {length}");
    }
}

#[test]
fn a_newer_version_says_so_whatever_follows() {
    let error = Envelope::open(&Bytes::from_static(b"BPCE\x07anything"), EnvelopeLimits::default()).unwrap_err();
    assert_eq!(error, EnvelopeError::Newer { found: 7, known: 1 });
    assert_eq!(Sealed::peek_stamp(b"BPCE\x07aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), None);
}

#[test]
fn a_payload_over_the_limit_is_refused_before_it_is_touched() {
    let meta = EnvelopeMeta::new(EnvelopeKind::Value, Stamp::new(7, 1, NodeId::new(3)));
    let sealed = Envelope::seal(&meta, 1, &[0; 4096], None).unwrap();
    let error = Envelope::open(sealed.bytes(), EnvelopeLimits::new(4095)).unwrap_err();
    assert_eq!(error, EnvelopeError::TooLarge { bytes: 4096, limit: 4095 });
}

#[cfg(feature = "compression")]
#[test]
fn a_bomb_does_not_go_off() {
    let meta = EnvelopeMeta::new(EnvelopeKind::Value, Stamp::new(7, 1, NodeId::new(3)));
    let sealed = Envelope::seal(&meta, 1, &vec![0; 1 << 20], Some(1)).unwrap();
    assert!(sealed.bytes().len() < 8192, "zeros compress");
    let error = Envelope::open(sealed.bytes(), EnvelopeLimits::new(1 << 19)).unwrap_err();
    assert_eq!(error, EnvelopeError::TooLarge { bytes: 1 << 20, limit: 1 << 19 });

    // The same bytes claim a size within the limit that they do not have, and one they cannot have.
    for claimed in [1_u32 << 18, (1 << 20) + 1, u32::MAX] {
        let mut bytes = sealed.bytes().to_vec();
        bytes[44..48].copy_from_slice(&claimed.to_be_bytes());
        let opened = Envelope::open(&resealed(bytes), EnvelopeLimits::new(usize::MAX));
        assert_eq!(opened.unwrap_err(), EnvelopeError::Corrupt);
    }
}

#[cfg(not(feature = "compression"))]
#[test]
fn without_the_feature_a_compressed_payload_is_refused_by_name() {
    let mut bytes = sample().bytes().to_vec();
    bytes[6] = 1;
    assert_eq!(Envelope::open(&resealed(bytes), EnvelopeLimits::default()).unwrap_err(), EnvelopeError::Compressed);
}

#[test]
fn what_the_format_cannot_hold_is_not_sealed() {
    let meta = EnvelopeMeta::new(EnvelopeKind::Value, Stamp::new(7, 1, NodeId::new(3))).tags(["x".repeat(70_000)]);
    assert!(matches!(Envelope::seal(&meta, 0, b"", None), Err(CodecError::TooLarge { bytes: 70_000 })));
}
