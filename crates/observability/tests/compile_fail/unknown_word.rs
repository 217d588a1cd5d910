use bedplate_observability::trace_function;

#[trace_function("add", retries = 3)]
fn add(a: u32, b: u32) -> u32 {
    a + b
}

#[trace_function(err, "add")]
fn name_comes_first(a: u32) -> Result<u32, ()> {
    Ok(a)
}

#[trace_function("add", err, err)]
fn twice(a: u32) -> Result<u32, ()> {
    Ok(a)
}

fn main() {}
