use bedplate_observability::testing::TestTelemetry;

#[bedplate_observability::test]
fn two(t: TestTelemetry, other: TestTelemetry) {}

#[bedplate_observability::test(flavor = "multi_thread")]
fn sync_with_arguments(t: TestTelemetry) {}

fn main() {}
