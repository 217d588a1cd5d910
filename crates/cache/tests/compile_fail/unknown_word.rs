//! A word that the attribute does not know.

use bedplate_cache::Weigh;

#[derive(Weigh)]
struct Holder {
    #[weigh(ignore)]
    name: String,
}

fn main() {}
