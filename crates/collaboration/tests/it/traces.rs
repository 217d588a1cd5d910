//! Real key strokes, replayed.

use std::io::Read as _;

use bedplate_collaboration::Hub;
use serde::Deserialize;

use crate::join;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    start_content: String,
    end_content: String,
    txns: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    patches: Vec<(usize, usize, String)>,
}

#[tokio::test]
async fn a_recorded_history_of_editing_ends_in_its_text() {
    let packed = include_bytes!("../data/traces/sveltecomponent.json.gz");
    let mut json = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut json).unwrap();
    let trace: Trace = serde_json::from_str(&json).unwrap();
    let hub = Hub::new();
    let ann = join(&hub, "ann").await;
    ann.edit(|text| text.push(&trace.start_content)).await.unwrap();
    for transaction in &trace.txns {
        ann.edit(|text| {
            for (at, deleted, inserted) in &transaction.patches {
                text.replace(*at..*at + *deleted, inserted)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    }
    assert_eq!(ann.text(), trace.end_content);
    assert!(trace.txns.len() > 10_000, "the trace is long");
    // Another replica, and the same hub after a restart from its store, have the same text.
    let copy = join(&Hub::new(), "copy").await;
    copy.apply_update(&ann.diff(&[0]).unwrap()).await.unwrap();
    assert_eq!(copy.text(), trace.end_content);
    ann.leave().await.unwrap();
    assert_eq!(join(&hub, "bob").await.text(), trace.end_content);
}
