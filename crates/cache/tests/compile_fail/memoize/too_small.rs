use bedplate_cache::memoize;

#[memoize(max_bytes = 100)]
fn no_budget() -> u64 {
    1
}

#[memoize(capacity = 0)]
fn no_room() -> u64 {
    1
}

fn main() {}
