use bedplate_observability::trace_function;

#[trace_function("add", kind = Sender)]
fn kind() {}

#[trace_function("add", level = "loud")]
fn level() {}

fn main() {}
