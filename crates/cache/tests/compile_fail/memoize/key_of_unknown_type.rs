use bedplate_cache::memoize;

#[memoize(key = "name.len()")]
fn by_length(name: &str) -> usize {
    name.len()
}

#[memoize(key_type = "u64")]
fn without_key(name: &str) -> usize {
    name.len()
}

fn main() {}
