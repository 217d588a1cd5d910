use bedplate_observability::trace_function;

#[trace_function("add", level = "debug")]
fn add(a: u32, b: u32) -> u32 {
    a + b
}

fn main() {}
