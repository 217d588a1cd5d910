use bedplate_cache::{Weigh, memoize};

#[derive(PartialEq, Eq, Hash, Weigh)]
struct NotClone(u8);

#[memoize]
fn not_clone(id: u64, _part: NotClone) -> u64 {
    id
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct NotWeigh;

#[memoize]
fn not_weigh(_part: NotWeigh) -> u64 {
    1
}

fn main() {}
