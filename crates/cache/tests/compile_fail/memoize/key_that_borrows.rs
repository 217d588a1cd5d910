use bedplate_cache::memoize;

#[memoize]
fn inside(name: Option<&str>) -> usize {
    name.map_or(0, str::len)
}

#[memoize(skip(name))]
async fn elided(name: std::borrow::Cow<'_, str>) -> usize {
    name.len()
}

#[memoize]
fn changes(list: &mut Vec<u64>) -> usize {
    list.len()
}

fn main() {}
