//! Nodes in one block, found by a 32-bit place.
//!
//! A place is half of a pointer, and a list that is linked by places needs no `unsafe`. The block
//! grows by an eighth: a `Vec` left to itself doubles, and right after that every entry would pay
//! for a second one that is not there. For blocks of this size growing is a matter of page tables,
//! not of copies.

use std::mem;

#[derive(Debug)]
pub(super) struct Slab<T> {
    cells: Vec<Cell<T>>,
    /// The first of the free cells, each of which names the next.
    free: Place,
}

#[derive(Debug)]
enum Cell<T> {
    Taken(T),
    Free { next: Place },
}

/// Where a node lies. Given out again after the node was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Place {
    pub(super) const NONE: Self = Self(u32::MAX);

    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }

    const fn index(self) -> usize {
        self.0 as usize
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { cells: Vec::new(), free: Place::NONE }
    }
}

impl<T> Slab<T> {
    #[inline]
    pub(super) fn get(&self, at: Place) -> Option<&T> {
        match self.cells.get(at.index())? {
            Cell::Taken(node) => Some(node),
            Cell::Free { .. } => None,
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: Place) -> Option<&mut T> {
        match self.cells.get_mut(at.index())? {
            Cell::Taken(node) => Some(node),
            Cell::Free { .. } => None,
        }
    }

    /// Finds a free place; none after four thousand million nodes.
    #[inline]
    pub(super) fn vacant(&mut self) -> Option<Place> {
        if self.free.is_none() {
            self.grow()?;
        }
        Some(self.free)
    }

    /// Puts a node where [`vacant`](Self::vacant) said. In two steps, so that the node is written
    /// once, where it stays.
    #[inline]
    pub(super) fn fill(&mut self, at: Place, node: T) {
        if let Some(cell) = self.cells.get_mut(at.index())
            && let Cell::Free { next } = *cell
        {
            *cell = Cell::Taken(node);
            self.free = next;
        }
    }

    fn grow(&mut self) -> Option<()> {
        let at = u32::try_from(self.cells.len()).ok().filter(|at| *at < u32::MAX)?;
        if self.cells.len() == self.cells.capacity() {
            self.cells.reserve_exact((self.cells.len() / GROWTH).max(LEAST_GROWTH));
        }
        self.cells.push(Cell::Free { next: Place::NONE });
        self.free = Place(at);
        Some(())
    }

    #[inline]
    pub(super) fn remove(&mut self, at: Place) -> Option<T> {
        let cell = self.cells.get_mut(at.index())?;
        match mem::replace(cell, Cell::Free { next: self.free }) {
            Cell::Taken(node) => {
                self.free = at;
                Some(node)
            }
            free @ Cell::Free { .. } => {
                *cell = free;
                None
            }
        }
    }

    /// Returns how many places there are, free ones included.
    pub(super) const fn places(&self) -> usize {
        self.cells.len()
    }

    /// Returns the place of this number, if there is one.
    pub(super) fn place(&self, number: usize) -> Option<Place> {
        (number < self.cells.len()).then(|| u32::try_from(number).ok().map(Place))?
    }
}

const GROWTH: usize = 8;
const LEAST_GROWTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(slab: &mut Slab<u32>, node: u32) -> Place {
        let at = slab.vacant().unwrap();
        slab.fill(at, node);
        at
    }

    #[test]
    fn places_are_given_out_again() {
        let mut slab = Slab::default();
        let places: Vec<Place> = (0..100).map(|n| insert(&mut slab, n)).collect();
        assert_eq!(slab.remove(places[40]), Some(40));
        assert_eq!((slab.remove(places[40]), slab.get(places[40])), (None, None));
        assert_eq!(slab.remove(places[7]), Some(7));
        let again = [insert(&mut slab, 1000), insert(&mut slab, 1001)];
        assert_eq!(again, [places[7], places[40]]);
        assert_eq!((slab.places(), slab.get(places[40])), (100, Some(&1001)));
    }

    #[test]
    fn a_block_has_little_to_spare() {
        let mut slab = Slab::default();
        for n in 0..10_000 {
            insert(&mut slab, n);
            let spare = slab.cells.capacity() - slab.cells.len();
            assert!(spare <= (slab.cells.len() / GROWTH).max(LEAST_GROWTH), "{spare} of {}", slab.cells.len());
        }
    }
}
