//! Nothing says which field of a union holds.

use bedplate_cache::Weigh;

#[derive(Weigh)]
union Bits {
    whole: u64,
    bytes: [u8; 8],
}

fn main() {}
