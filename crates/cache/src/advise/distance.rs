//! The bytes of all that was used since some moment, in logarithmic time.

/// A Fenwick tree of weights over the order of use. Slots are handed out in order; once they are used
/// up, its owner numbers those in use anew.
#[derive(Debug)]
pub(super) struct Order {
    tree: Vec<u64>,
    next: usize,
    total: u64,
}

impl Order {
    pub(super) fn new(slots: usize) -> Self {
        Self { tree: vec![0; slots + 1], next: 0, total: 0 }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.next + 1 >= self.tree.len()
    }

    /// Takes the next slot for something of this weight.
    pub(super) fn append(&mut self, weight: u64) -> usize {
        self.next += 1;
        self.update(self.next, weight, true);
        self.next
    }

    pub(super) fn remove(&mut self, slot: usize, weight: u64) {
        self.update(slot, weight, false);
    }

    pub(super) fn reweigh(&mut self, slot: usize, before: u64, now: u64) {
        self.update(slot, before, false);
        self.update(slot, now, true);
    }

    /// The weight of all in later slots.
    pub(super) fn after(&self, slot: usize) -> u64 {
        let (mut at, mut up_to) = (slot, 0_u64);
        while at > 0 {
            up_to = up_to.wrapping_add(self.tree.get(at).copied().unwrap_or(0));
            at &= at - 1;
        }
        self.total.wrapping_sub(up_to)
    }

    pub(super) fn clear(&mut self) {
        self.tree.fill(0);
        (self.next, self.total) = (0, 0);
    }

    // Wrapping, so that what was added can be taken away again even if weights are absurd.
    fn update(&mut self, slot: usize, weight: u64, add: bool) {
        let change = |sum: u64| if add { sum.wrapping_add(weight) } else { sum.wrapping_sub(weight) };
        self.total = change(self.total);
        let mut at = slot;
        while let Some(sum) = self.tree.get_mut(at) {
            *sum = change(*sum);
            at += at & at.wrapping_neg();
        }
    }
}
