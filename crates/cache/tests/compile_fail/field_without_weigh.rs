//! A field whose type says nothing of its weight.

use bedplate_cache::Weigh;

struct Opaque;

#[derive(Weigh)]
struct Holder {
    name: String,
    opaque: Opaque,
}

fn main() {}
