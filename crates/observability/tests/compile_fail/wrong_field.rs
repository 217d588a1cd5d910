use bedplate_observability::trace_function;

#[trace_function("add", fields(sum))]
fn unknown(a: u32) -> u32 {
    a
}

#[trace_function("add", skip(sum))]
fn unknown_skipped(a: u32) -> u32 {
    a
}

#[trace_function("add", attrs(payment.provider))]
fn without_value() {}

#[trace_function("add", attrs(a = 1), fields(a))]
fn twice(a: u32) -> u32 {
    a
}

#[trace_function("add", attrs(error.type = "mine"))]
fn reserved() {}

fn main() {}
