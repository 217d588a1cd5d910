use super::*;

fn insert(replica: &mut Replica, at: usize, text: &str) -> Bytes {
    replica.edit(|edit| edit.insert(at, text), |_bytes| Ok(())).unwrap().1.unwrap()
}

#[test]
fn an_update_gives_another_replica_the_same_text() {
    let mut ours = Replica::new("text");
    let mut theirs = Replica::new("text");
    let first = insert(&mut ours, 0, "a🦀c");
    let second = insert(&mut ours, 2, "b");
    assert!(matches!(theirs.apply(&second), Err(CollaborationError::Gap { have: 0, .. })));
    theirs.apply(&first).unwrap().unwrap();
    theirs.apply(&second).unwrap().unwrap();
    assert_eq!(theirs.text(), "a🦀bc");
    assert_eq!(theirs.apply(&second).unwrap(), None, "a repeated update is nothing new");
    theirs.edit(|edit| edit.delete(1..2), |_bytes| Ok(())).unwrap();
    assert_eq!(theirs.text(), "abc");
}

#[test]
fn a_failed_change_leaves_the_document_as_it_was() {
    let mut replica = Replica::new("text");
    insert(&mut replica, 0, "kept");
    let before = replica.state_vector();
    let failed = replica.guarded("edit", |engine| {
        engine.text.insert(&mut engine.doc.transact_mut(), 0, "half ");
        Err("it fails halfway")
    });
    assert!(failed.is_err());
    assert_eq!((replica.text().as_str(), replica.state_vector()), ("kept", before.clone()));
    let panicked = replica.guarded("edit", |engine| {
        let mut transaction = ManuallyDrop::new(engine.doc.transact_mut());
        engine.text.insert(&mut transaction, 0, "half ");
        panic!("on purpose")
    });
    assert!(panicked.is_err());
    assert_eq!((replica.text().as_str(), replica.state_vector()), ("kept", before));
    insert(&mut replica, 4, "!");
    assert_eq!(replica.text(), "kept!");
}

#[test]
fn a_long_log_is_compacted() {
    let mut replica = Replica::new("text");
    let line = "0123456789".repeat(100);
    for _ in 0..200 {
        insert(&mut replica, 0, &line);
        replica.edit(|edit| edit.delete(0..500), |_bytes| Ok(())).unwrap();
    }
    assert!(replica.log.snapshot.is_some());
    assert!(replica.log.updates.len() < 200, "{}", replica.log.updates.len());
    let replayed = replica.log.replay();
    assert_eq!(replayed.read(), replica.text());
    assert_eq!(replayed.known(), replica.engine.known());
    let restored = Replica::restore("text", std::iter::once(&replica.snapshot())).unwrap();
    assert_eq!(restored.text(), replica.text());
}

#[test]
fn a_state_vector_from_the_future_gets_no_error() {
    let mut replica = Replica::new("text");
    let update = insert(&mut replica, 0, "a");
    let mut other = Replica::new("text");
    other.apply(&update).unwrap();
    insert(&mut other, 1, "b");
    let nothing = replica.diff(&other.state_vector()).unwrap();
    assert_eq!(other.apply(&nothing).unwrap(), None);
    assert!(replica.diff(&[9]).is_err());
}
