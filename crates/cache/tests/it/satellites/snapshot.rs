//! Snapshots in a real folder.

use std::time::Duration;

use bedplate_cache::snapshot::{SnapshotError, SnapshotReader, SnapshotRecord, SnapshotWriter, write_snapshot};

#[test]
fn a_snapshot_that_was_not_finished_leaves_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.snapshot");
    write_snapshot(&path, 1, [SnapshotRecord::new(b"k", b"old")]).unwrap();

    let mut writer = SnapshotWriter::create(&path, 2).unwrap();
    writer.push(SnapshotRecord::new(b"k", b"new")).unwrap();
    assert_eq!(SnapshotReader::verify(&path).unwrap(), 1, "while it is written, the old one is whole");
    // A crash: the temporary file stays, and the next snapshot takes its place.
    let _crashed = std::mem::ManuallyDrop::new(writer);
    assert_eq!(SnapshotReader::open(&path).unwrap().next_entry().unwrap().unwrap().value, b"old");

    let mut writer = SnapshotWriter::create(&path, 3).unwrap();
    writer.push(SnapshotRecord::new(b"k", b"newer").remaining(Some(Duration::from_secs(5))).tags(&["a"])).unwrap();
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "what was given up left no trace");

    let mut writer = SnapshotWriter::create(&path, 3).unwrap();
    writer.push(SnapshotRecord::new(b"k", b"newer").remaining(Some(Duration::from_secs(5))).tags(&["a"])).unwrap();
    assert_eq!(writer.finish().unwrap(), 1);
    let mut reader = SnapshotReader::open(&path).unwrap();
    assert_eq!(reader.written_at(), 3);
    let entry = reader.next_entry().unwrap().unwrap();
    assert_eq!((entry.value, entry.remaining), (b"newer".to_vec(), Some(Duration::from_secs(5))));
    assert_eq!(entry.tags, ["a"]);
    assert!(reader.next_entry().unwrap().is_none());
}

#[test]
fn what_the_format_cannot_hold_is_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.snapshot");
    let long = "x".repeat(70_000);
    let tags = [long.as_str()];
    let records = [SnapshotRecord::new(b"a", b"1"), SnapshotRecord::new(b"b", b"2").tags(&tags)];
    assert_eq!(write_snapshot(&path, 0, records).unwrap(), (1, 1));
    assert_eq!(SnapshotReader::verify(&path).unwrap(), 1);
}

#[test]
fn a_missing_file_and_a_folder_that_is_not_there_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").join("cache.snapshot");
    assert!(matches!(SnapshotReader::open(&missing), Err(SnapshotError::Io(_))));
    assert!(SnapshotWriter::create(&missing, 0).is_err());
}
