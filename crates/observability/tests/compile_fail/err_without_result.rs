use bedplate_observability::trace_function;

#[trace_function("add", err)]
fn add(a: u32, b: u32) -> u32 {
    a + b
}

fn main() {}
