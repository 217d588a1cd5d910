//! Finds places by hash, each look in one line of memory.
//!
//! A chunk is half a line: six places, and a byte of the hash of each. A table that keeps those bytes apart
//! from what they stand for, as `hashbrown` does, looks at two lines before it comes to the node, the
//! second known only after the first has come. A key that finds its chunk full goes on to the next one,
//! and each full chunk counts who has passed: so a look knows when to end, and whoever leaves takes
//! itself out of the counts and leaves no mark that would have to be cleaned up later. After Bronson and
//! Shi, "Open-sourcing F14 for faster, more memory-efficient hash tables" (2019). The bytes are compared
//! at once in a word: nothing of this needs `unsafe`.

use super::slab::Place;

#[derive(Debug, Default)]
pub(super) struct Index {
    chunks: Vec<Chunk>,
    len: usize,
}

#[derive(Debug, Clone)]
#[repr(C, align(32))]
struct Chunk {
    /// A byte for each slot, zero where nothing is; above them how many have passed.
    tags: u64,
    places: [Place; SLOTS],
}

impl Index {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Finds a place of this hash that is the one.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(Place) -> bool) -> Option<Place> {
        let number = self.home(hash);
        let chunk = self.chunks.get(number)?;
        let mut slots = chunk.slots(tag(hash));
        while let Some(at) = slots.next(chunk) {
            if is_it(at) {
                return Some(at);
            }
        }
        if chunk.passed() == 0 { None } else { self.find_further(hash, number, is_it) }
    }

    /// Finds one that is not in the first chunk.
    #[cold]
    fn find_further(&self, hash: u64, mut number: usize, mut is_it: impl FnMut(Place) -> bool) -> Option<Place> {
        for _ in 1..self.chunks.len() {
            number = self.after(number);
            let chunk = self.chunks.get(number)?;
            let mut slots = chunk.slots(tag(hash));
            while let Some(at) = slots.next(chunk) {
                if is_it(at) {
                    return Some(at);
                }
            }
            if chunk.passed() == 0 {
                return None;
            }
        }
        None
    }

    /// Adds a place that is not there.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64, at: Place, hash_of: impl Fn(Place) -> u64) {
        if self.len * 2 >= self.chunks.len() * FULL_TWICE {
            self.grow(hash_of);
        }
        self.add(hash, at);
    }

    #[inline]
    fn add(&mut self, hash: u64, at: Place) {
        let mut number = self.home(hash);
        // There are fewer places than slots.
        while let Some(chunk) = self.chunks.get_mut(number) {
            if chunk.add(tag(hash), at) {
                self.len += 1;
                return;
            }
            chunk.pass();
            number = self.after(number);
        }
    }

    /// Takes a place out.
    #[inline]
    pub(super) fn remove(&mut self, hash: u64, at: Place) {
        let home = self.home(hash);
        let Some(chunk) = self.chunks.get_mut(home) else { return };
        if chunk.remove(tag(hash), at) {
            self.len -= 1;
        } else {
            self.remove_further(hash, at, home);
        }
    }

    /// Takes a place out that is not in its first chunk.
    #[cold]
    fn remove_further(&mut self, hash: u64, at: Place, home: usize) {
        let mut number = home;
        for _ in 1..self.chunks.len() {
            number = self.after(number);
            let Some(chunk) = self.chunks.get_mut(number) else { return };
            if chunk.remove(tag(hash), at) {
                self.len -= 1;
                return self.call_back(home, number);
            }
        }
    }

    /// Takes one that went on from `home` to `end` out of the counts on its way.
    fn call_back(&mut self, home: usize, end: usize) {
        let mut number = home;
        while number != end {
            if let Some(chunk) = self.chunks.get_mut(number) {
                chunk.call_back();
            }
            number = self.after(number);
        }
    }

    #[cold]
    fn grow(&mut self, hash_of: impl Fn(Place) -> u64) {
        let count = self.chunks.len() + (self.chunks.len() / 2).max(1);
        let old = std::mem::replace(&mut self.chunks, vec![Chunk::EMPTY; count]);
        self.len = 0;
        for chunk in old {
            for slot in (0..SLOTS).filter(|slot| !chunk.is_vacant(*slot)) {
                if let Some(at) = chunk.places.get(slot) {
                    self.add(hash_of(*at), *at);
                }
            }
        }
    }

    /// The chunk in which a search begins: the low half of the hash as a share of all, so that their number
    /// need not be a power of two.
    #[inline]
    const fn home(&self, hash: u64) -> usize {
        (((hash & 0xffff_ffff) * self.chunks.len() as u64) >> 32) as usize
    }

    #[inline]
    const fn after(&self, number: usize) -> usize {
        if number + 1 < self.chunks.len() { number + 1 } else { 0 }
    }
}

impl Chunk {
    const EMPTY: Self = Self { tags: 0, places: [Place::NONE; SLOTS] };

    /// Returns the slots that have this tag.
    #[inline]
    const fn slots(&self, tag: u8) -> Slots {
        let differ = self.tags ^ (tag as u64).wrapping_mul(ONES);
        // The highest bit of each byte that is zero, and of no other: the usual shorter form also takes a byte
        // above such a one that differs by one, and a slot that is vacant still names the place that it had.
        let other = ((differ & LOW) + LOW) | differ;
        Slots(!other & (ONES << 7))
    }

    /// Adds a place, if there is room.
    #[inline]
    fn add(&mut self, tag: u8, at: Place) -> bool {
        let slot = self.slots(VACANT).first();
        let Some(place) = self.places.get_mut(slot) else { return false };
        *place = at;
        self.tags |= u64::from(tag) << shift(slot);
        true
    }

    /// Takes a place out, if it is here.
    #[inline]
    fn remove(&mut self, tag: u8, at: Place) -> bool {
        let mut slots = self.slots(tag);
        loop {
            let slot = slots.first();
            match self.places.get(slot) {
                Some(place) if *place == at => {
                    self.tags &= !(0xff << shift(slot));
                    return true;
                }
                Some(_) => slots.pass(),
                None => return false,
            }
        }
    }

    fn is_vacant(&self, slot: usize) -> bool {
        self.tags >> shift(slot) & 0xff == u64::from(VACANT)
    }

    #[inline]
    const fn passed(&self) -> u64 {
        self.tags >> PASSED
    }

    /// Counts one that goes on from here. A count that has reached its end stays there until the table grows.
    #[cold]
    const fn pass(&mut self) {
        if self.passed() < MOST_PASSED {
            self.tags += 1 << PASSED;
        }
    }

    const fn call_back(&mut self) {
        if self.passed() < MOST_PASSED {
            self.tags = self.tags.wrapping_sub(1 << PASSED);
        }
    }
}

/// Slots of a chunk, each the highest bit of a byte.
#[derive(Debug, Clone, Copy)]
struct Slots(u64);

impl Slots {
    /// The first of them; beyond all slots if there is none.
    #[inline]
    const fn first(self) -> usize {
        (self.0.trailing_zeros() / 8) as usize
    }

    #[inline]
    const fn pass(&mut self) {
        self.0 &= self.0.wrapping_sub(1);
    }

    /// Returns what lies in the first of them, and passes on.
    #[inline]
    fn next(&mut self, chunk: &Chunk) -> Option<Place> {
        let at = chunk.places.get(self.first()).copied();
        self.pass();
        at
    }
}

/// Where the byte of a slot begins in its word.
#[inline]
const fn shift(slot: usize) -> usize {
    slot * 8
}

#[inline]
const fn tag(hash: u64) -> u8 {
    // The byte of the hash that neither the chunk nor the shard is chosen by.
    let tag = (hash >> 56) as u8;
    tag + (tag == VACANT) as u8
}

const SLOTS: usize = 6;
/// So many of six are in use on average, twice, before there are more chunks.
const FULL_TWICE: usize = 9;
const VACANT: u8 = 0;
const ONES: u64 = 0x0101_0101_0101;
const LOW: u64 = 0x7f7f_7f7f_7f7f;
const PASSED: u32 = 48;
const MOST_PASSED: u64 = 0xffff;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_chunk_is_half_a_line() {
        assert_eq!(size_of::<Chunk>(), 32);
    }

    #[test]
    fn every_slot_is_found_and_given_out_again() {
        let mut chunk = Chunk::EMPTY;
        let (tag, place) = (|n: usize| u8::try_from(n + 1).unwrap(), |n: usize| Place::new(u32::try_from(n).unwrap()));
        for n in 0..SLOTS {
            assert!(chunk.is_vacant(n) && chunk.add(tag(n), place(n)));
            assert_eq!(chunk.slots(tag(n)).next(&chunk), Some(place(n)));
        }
        assert!(!chunk.add(1, place(99)) && (0..SLOTS).all(|slot| !chunk.is_vacant(slot)));
        assert!(!chunk.remove(tag(4), place(99)) && chunk.remove(tag(4), place(4)) && !chunk.remove(tag(4), place(4)));
        assert!(chunk.is_vacant(4) && chunk.add(1, place(99)));
        assert_eq!(chunk.places[4], place(99));
    }

    #[test]
    fn a_vacant_slot_is_not_taken_for_what_it_held() {
        let mut chunk = Chunk::EMPTY;
        // A tag that differs by one from none at all, once below the slot in question and once in it.
        assert!(chunk.add(1, Place::new(7)) && chunk.add(1, Place::new(8)) && chunk.remove(1, Place::new(8)));
        let mut slots = chunk.slots(1);
        assert_eq!([slots.next(&chunk), slots.next(&chunk)], [Some(Place::new(7)), None]);
        assert!(!chunk.remove(1, Place::new(8)) && chunk.remove(1, Place::new(7)));
    }

    #[test]
    fn who_leaves_is_not_counted_any_more() {
        let mut index = Index::default();
        // All of one home, so that most go on from it.
        for n in 0..100 {
            index.insert(0, Place::new(n), |_| 0);
        }
        assert!(index.chunks[0].passed() > 0);
        for n in 0..100 {
            assert_eq!(index.find(0, |at| at == Place::new(n)), Some(Place::new(n)));
            index.remove(0, Place::new(n));
            assert_eq!(index.find(0, |at| at == Place::new(n)), None);
        }
        assert!(index.len() == 0 && index.chunks.iter().all(|chunk| chunk.tags == 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]

        /// Few hashes, so that many share a home, a tag or both.
        #[test]
        fn it_holds_what_a_map_holds(
            steps in prop::collection::vec((0_u32..64, any::<bool>()), 0..if cfg!(miri) { 40 } else { 400 }),
            homes in 1_u64..8,
        ) {
            let hash = |n: u32| (u64::from(n) % homes * 0x3333_3333) | (u64::from(n % 5) << 56);
            let (mut index, mut model) = (Index::default(), HashMap::new());
            for (n, insert) in steps {
                let at = Place::new(n);
                if insert && model.insert(n, at).is_none() {
                    index.insert(hash(n), at, |at| hash(at.number()));
                } else if !insert {
                    index.remove(hash(n), at);
                    model.remove(&n);
                }
                prop_assert_eq!(index.len(), model.len());
                for n in 0..64 {
                    prop_assert_eq!(index.find(hash(n), |at| at == Place::new(n)), model.get(&n).copied());
                }
            }
        }
    }
}
