use bedplate_cache::memoize;

#[memoize(tll = "60s")]
fn unknown() -> u64 {
    1
}

#[memoize(ttl = "60s", ttl = "5m")]
fn twice() -> u64 {
    1
}

#[memoize(stale = "5m")]
fn stale_without_ttl() -> u64 {
    1
}

#[memoize(max_bytes = 100_000, capacity = 10)]
fn two_bounds() -> u64 {
    1
}

#[memoize(cache = CACHE, max_bytes = 100_000)]
fn bound_of_a_given_cache() -> u64 {
    1
}

#[memoize(skip(nobody))]
fn skipped(id: u64) -> u64 {
    id
}

#[memoize(ttl = "60s", eager_refresh = 1.5)]
fn share() -> u64 {
    1
}

#[memoize(ttl = "60s", stale = "60s", hard_timeout = "2s")]
fn timeout() -> Result<u64, String> {
    Ok(1)
}

#[memoize(map_err = "f")]
fn no_error() -> u64 {
    1
}

fn main() {}
