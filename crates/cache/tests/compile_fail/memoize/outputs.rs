use bedplate_cache::memoize;

#[memoize]
fn nothing(_id: u64) {}

#[memoize]
fn borrowed(name: &str) -> &str {
    name
}

#[memoize]
fn opaque(id: u64) -> impl Iterator<Item = u64> {
    0..id
}

#[memoize]
fn alias(_id: u64) -> std::fmt::Result {
    Ok(())
}

struct NotWeigh;

impl Clone for NotWeigh {
    fn clone(&self) -> Self {
        NotWeigh
    }
}

#[memoize]
fn not_weigh(_id: u64) -> Option<NotWeigh> {
    None
}

struct Site(u64);

impl Site {
    #[memoize]
    fn named_self(id: u64) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self(id))
    }
}

fn main() {}
