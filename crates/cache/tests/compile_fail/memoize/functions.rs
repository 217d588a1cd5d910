use bedplate_cache::memoize;

#[memoize]
unsafe fn careful(id: u64) -> u64 {
    id
}

#[memoize]
const fn early(id: u64) -> u64 {
    id
}

#[memoize]
struct NoFunction;

fn main() {}
