use bedplate_cache::memoize;

#[memoize(ttl = "60")]
fn no_unit() -> u64 {
    1
}

#[memoize(ttl = "0s")]
fn zero() -> u64 {
    1
}

#[memoize(ttl = 60)]
fn number() -> u64 {
    1
}

#[memoize(ttl = "60s", stale = "5 minutes")]
fn words() -> u64 {
    1
}

fn main() {}
