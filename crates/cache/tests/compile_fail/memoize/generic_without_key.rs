use bedplate_cache::memoize;

#[memoize]
fn generic<T: Clone>(value: T, _id: u64) -> u64 {
    1
}

#[memoize(key = "1u64")]
fn generic_value<T: Default>(_id: u64) -> Vec<T> {
    Vec::new()
}

#[memoize]
fn opaque(value: impl ToString) -> String {
    value.to_string()
}

fn main() {}
