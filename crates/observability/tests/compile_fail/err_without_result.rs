use bedplate_observability::trace_function;

#[trace_function("add", err)]
fn add(a: u32, b: u32) -> u32 {
    a + b
}

#[trace_function("add", option)]
fn not_optional(a: u32) -> Result<u32, ()> {
    Ok(a)
}

fn main() {}
