//! Bytes that harm the engine when it is not guarded.

use bedplate_collaboration::{CollaborationError, Hub, Session};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use yrs::types::Attrs;
use yrs::{Array as _, Doc, Map as _, ReadTxn as _, Text as _, Transact as _, XmlElementPrelim, XmlFragment as _};

use crate::join;

/// Gives every update to a session and makes sure that the document works and encodes after each.
async fn feed(session: &Session, update: &[u8], outcomes: &mut [u32; 3]) {
    let before = session.state_vector();
    match session.apply_update(update).await {
        Ok(_) => outcomes[0] += 1,
        Err(CollaborationError::Gap { .. }) => outcomes[1] += 1,
        Err(CollaborationError::Malformed { .. }) => outcomes[2] += 1,
        Err(error) => panic!("{error}"),
    }
    if let Err(error) = session.diff(&before) {
        panic!("{error}");
    }
}

/// The document is whole: it takes an edit, and another replica can take all of it and edit it too.
async fn is_whole(session: &Session) {
    session.edit(|text| text.insert(0, "still here")).await.unwrap();
    let copy = join(&Hub::new(), "copy").await;
    copy.apply_update(&session.diff(&[0]).unwrap()).await.unwrap();
    // Forged places in the order may make the two differ; both are texts that can be edited.
    copy.edit(|text| text.insert(0, "copied: ")).await.unwrap();
    assert!(copy.text().starts_with("copied: "));
    assert!(session.text().starts_with("still here"));
}

#[tokio::test]
async fn sequences_that_end_the_process_of_an_unguarded_engine_are_survived() {
    for json in [
        include_str!("../data/hostile/yrs-seed3.min.json"),
        include_str!("../data/hostile/yrs-seed4.min.json"),
        include_str!("../data/hostile/yrs-seed3.json"),
        include_str!("../data/hostile/yrs-seed4.json"),
    ] {
        let updates: Vec<Vec<u8>> = serde_json::from_str(json).unwrap();
        let hub = Hub::new();
        let session = join(&hub, "mallory").await;
        let mut outcomes = [0; 3];
        for update in &updates {
            feed(&session, update, &mut outcomes).await;
        }
        assert!(outcomes[1] + outcomes[2] > 0, "something was refused: {outcomes:?}");
        is_whole(&session).await;
    }
}

#[tokio::test]
async fn few_bytes_that_claim_much_are_refused_at_once() {
    let hub = Hub::new();
    let session = join(&hub, "mallory").await;
    for update in [
        &[0xff_u8, 0xff, 0xff, 0x7a, 1, 1, 0, 1][..],
        &[1, 0xff, 0xff, 0xff, 0x7a, 1, 0],
        &[0, 0xff, 0xff, 0xff, 0x7a, 1],
        &[0, 1, 1, 0xff, 0xff, 0xff, 0x7a],
        &[],
    ] {
        let error = session.apply_update(update).await.unwrap_err();
        assert!(matches!(error, CollaborationError::Malformed { field: "update", .. }), "{error}");
    }
    let error = session.diff(&[0xff, 0xff, 0xff, 0x7a, 1, 1]).unwrap_err();
    assert!(matches!(error, CollaborationError::Malformed { field: "state vector", .. }));
    assert_eq!(hub.stats().refused, 6);
    is_whole(&session).await;
}

/// Updates of five clients with every kind of shared type.
fn corpus() -> Vec<Vec<u8>> {
    let mut updates = Vec::new();
    for client in 1..6 {
        let doc = Doc::with_client_id(client);
        let (text, map) = (doc.get_or_insert_text("text"), doc.get_or_insert_map("m"));
        let (xml, array) = (doc.get_or_insert_xml_fragment("x"), doc.get_or_insert_array("a"));
        for i in 0..20_u32 {
            let mut transaction = doc.transact_mut();
            let len = text.len(&transaction);
            text.insert(&mut transaction, len / 2, &format!("w{i} "));
            if i % 3 == 0 && len > 4 {
                text.remove_range(&mut transaction, 1, 3);
            }
            if i % 4 == 0 {
                text.format(&mut transaction, 0, 1, Attrs::from([("b".into(), true.into())]));
            }
            map.insert(&mut transaction, format!("k{}", i % 5), i64::from(i));
            array.push_back(&mut transaction, i64::from(i));
            if i % 5 == 0 {
                xml.push_back(&mut transaction, XmlElementPrelim::empty("p"));
            }
            drop(transaction);
            if i % 7 == 0 {
                updates.push(doc.transact().encode_state_as_update_v1(&yrs::StateVector::default()));
            }
        }
        updates.push(doc.transact().encode_state_as_update_v1(&yrs::StateVector::default()));
    }
    updates
}

fn below(rng: &mut TestRng, bound: usize) -> usize {
    usize::try_from(rng.next_u64() % bound as u64).unwrap()
}

fn mutate(rng: &mut TestRng, update: &[u8]) -> Vec<u8> {
    let mut update = update.to_vec();
    for _ in 0..=below(rng, 4) {
        if update.is_empty() {
            break;
        }
        let at = below(rng, update.len());
        match below(rng, 6) {
            0 => update[at] ^= 1 << below(rng, 8),
            1 => update[at] = rng.next_u32().to_le_bytes()[0],
            2 => drop(update.remove(at)),
            3 => update.insert(at, rng.next_u32().to_le_bytes()[0]),
            4 => update.truncate(at),
            _ => update[at] = 0xff,
        }
    }
    update
}

#[tokio::test]
async fn mutated_updates_never_break_a_document() {
    let corpus = corpus();
    let cases: usize = option_env!("BEDPLATE_FUZZ_CASES").and_then(|cases| cases.parse().ok()).unwrap_or(6_000);
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut outcomes = [0; 3];
    let mut session = join(&Hub::new(), "mallory").await;
    for case in 0..cases {
        if case % 300 == 299 {
            is_whole(&session).await;
            session = join(&Hub::new(), "mallory").await;
        }
        let update = &corpus[below(&mut rng, corpus.len())];
        let update = mutate(&mut rng, update);
        feed(&session, &update, &mut outcomes).await;
    }
    assert!(outcomes.iter().all(|count| *count > 20), "each outcome occurs: {outcomes:?}");
}
