use bedplate_observability::trace_function;

#[trace_function]
struct Counter;

#[trace_function("")]
fn nameless() {}

#[trace_function]
const fn constant() {}

fn main() {}
