//! A field that is to be skipped and weighed.

use bedplate_cache::Weigh;

fn nothing(_: &String) -> u64 {
    0
}

#[derive(Weigh)]
struct Holder {
    #[weigh(skip, with = nothing)]
    name: String,
}

fn main() {}
