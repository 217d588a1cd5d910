#[bedplate_observability::test]
fn two(t: (), other: ()) {}

#[bedplate_observability::test(flavor = "multi_thread")]
fn sync_with_arguments(t: ()) {}

fn main() {}
