//! Every metric that is emitted stands in the reference table.

use std::collections::BTreeSet;
use std::path::Path;

use bedplate::{Bedplate, Request};

#[tokio::test]
async fn every_metric_stands_in_the_reference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/reference/metrics.md");
    let reference = std::fs::read_to_string(path).unwrap();
    let documented: BTreeSet<&str> =
        reference.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name).collect();

    let system = Bedplate::builder().build().await.unwrap();
    system.process(Request::text("t")).await.unwrap();
    let emitted: BTreeSet<&str> = system.telemetry().metric_names().into_iter().collect();
    assert!(emitted.contains("bedplate_requests_total") && emitted.len() > 10, "{emitted:?}");
    assert_eq!(emitted, documented, "emitted on the left, documented on the right");

    // Names in the text are those, and the parts of a histogram.
    let text = system.telemetry().prometheus();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let name = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
        assert!(emitted.contains(name), "{line}");
    }
}
