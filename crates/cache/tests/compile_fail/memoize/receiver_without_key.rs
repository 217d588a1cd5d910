use bedplate_cache::memoize;

struct Service;

impl Service {
    #[memoize]
    fn by_value(self, id: u64) -> u64 {
        id
    }

    #[memoize]
    async fn borrowed(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
