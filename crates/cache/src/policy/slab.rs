//! Nodes in one block, found by a 32-bit place.
//!
//! A place is half of a pointer, and a list that is linked by places needs no `unsafe`. What a hit
//! reads lies in one block and what only a writer reads in another, so that a hit on small keys and
//! values touches one line of memory. Both grow by an eighth: a `Vec` left to itself doubles, and
//! right after that every entry would pay for a second one that is not there.

use std::mem;

/// Nodes of type `T`, each with something aside of type `A`.
#[derive(Debug)]
pub(super) struct Slab<T, A> {
    rows: Vec<Row<T>>,
    /// As many as places were ever given out.
    asides: Vec<A>,
    /// The first of the free cells, each of which names the next.
    free: Place,
}

/// Eight cells that begin with a line of memory, so that cells of 64 bytes are lines. To align each
/// cell would round the size of larger ones up; eight of any size end where a line does.
#[derive(Debug)]
#[repr(align(64))]
struct Row<T>([Cell<T>; ROW]);

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

impl<T, A> Default for Slab<T, A> {
    fn default() -> Self {
        Self { rows: Vec::new(), asides: Vec::new(), free: Place::NONE }
    }
}

impl<T, A> Slab<T, A> {
    #[inline]
    pub(super) fn get(&self, at: Place) -> Option<&T> {
        match self.rows.get(at.index() / ROW)?.0.get(at.index() % ROW)? {
            Cell::Taken(node) => Some(node),
            Cell::Free { .. } => None,
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, at: Place) -> Option<&mut T> {
        match self.cell(at)? {
            Cell::Taken(node) => Some(node),
            Cell::Free { .. } => None,
        }
    }

    /// Returns what lies aside of the node of a place; it stays when the node goes.
    #[inline]
    pub(super) fn aside(&self, at: Place) -> Option<&A> {
        self.asides.get(at.index())
    }

    #[inline]
    pub(super) fn aside_mut(&mut self, at: Place) -> Option<&mut A> {
        self.asides.get_mut(at.index())
    }

    /// Returns the node of a place with what lies aside of it.
    #[inline]
    pub(super) fn both(&self, at: Place) -> Option<(&T, &A)> {
        Some((self.get(at)?, self.asides.get(at.index())?))
    }

    /// Returns the node of a place with what lies aside of it, to be changed.
    pub(super) fn both_mut(&mut self, at: Place) -> Option<(&mut T, &mut A)> {
        match self.rows.get_mut(at.index() / ROW)?.0.get_mut(at.index() % ROW)? {
            Cell::Taken(node) => Some((node, self.asides.get_mut(at.index())?)),
            Cell::Free { .. } => None,
        }
    }

    /// Finds a free place; none after four thousand million nodes.
    #[inline]
    pub(super) fn vacant(&mut self) -> Option<Place>
    where
        A: Default,
    {
        if self.free.is_none() {
            self.grow()?;
        }
        Some(self.free)
    }

    /// Puts a node where [`vacant`](Self::vacant) said. In two steps, so that the node is written
    /// once, where it stays.
    #[inline]
    pub(super) fn fill(&mut self, at: Place, node: T, aside: A) {
        if let Some(cell) = self.cell(at)
            && let Cell::Free { next } = *cell
        {
            *cell = Cell::Taken(node);
            self.free = next;
            if let Some(old) = self.asides.get_mut(at.index()) {
                *old = aside;
            }
        }
    }

    #[cold]
    fn grow(&mut self) -> Option<()>
    where
        A: Default,
    {
        let at = u32::try_from(self.asides.len()).ok().filter(|at| *at < u32::MAX)?;
        if self.asides.len() == self.rows.len() * ROW {
            if self.rows.len() == self.rows.capacity() {
                self.rows.reserve_exact((self.rows.len() / GROWTH).max(1));
                self.asides.reserve_exact(self.rows.capacity() * ROW - self.asides.len());
            }
            self.rows.push(Row(std::array::from_fn(|_| Cell::Free { next: Place::NONE })));
        }
        self.asides.push(A::default());
        self.free = Place(at);
        Some(())
    }

    #[inline]
    pub(super) fn remove(&mut self, at: Place) -> Option<T> {
        let free = self.free;
        let cell = self.cell(at)?;
        match mem::replace(cell, Cell::Free { next: free }) {
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
        self.asides.len()
    }

    /// Returns the place of this number, if there is one.
    pub(super) fn place(&self, number: usize) -> Option<Place> {
        (number < self.places()).then(|| u32::try_from(number).ok().map(Place))?
    }

    #[inline]
    fn cell(&mut self, at: Place) -> Option<&mut Cell<T>> {
        self.rows.get_mut(at.index() / ROW)?.0.get_mut(at.index() % ROW)
    }
}

const ROW: usize = 8;
const GROWTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(slab: &mut Slab<u32, u32>, node: u32) -> Place {
        let at = slab.vacant().unwrap();
        slab.fill(at, node, node + 1);
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
        assert_eq!((slab.places(), slab.get(places[40]), slab.aside(places[40])), (100, Some(&1001), Some(&1002)));
        assert!((0..100).all(|number| slab.place(number) == Some(places[number])) && slab.place(100).is_none());
    }

    #[test]
    fn a_block_has_little_to_spare() {
        let mut slab = Slab::default();
        for n in 0..10_000 {
            insert(&mut slab, n);
            let (rows, places) = (slab.rows.capacity() * ROW, slab.places());
            let spare = rows.max(slab.asides.capacity()) - places;
            assert!(spare <= places / GROWTH + ROW, "{spare} of {places}");
        }
    }
}
