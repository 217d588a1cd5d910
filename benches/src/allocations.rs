//! Counts what a thread allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::{Add, Sub};

use serde::Serialize;

/// What was allocated: how often, and how many bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Allocations {
    /// Calls that allocated or grew.
    pub count: u64,
    /// Bytes asked for.
    pub bytes: u64,
}

impl Allocations {
    /// Returns what the current thread has allocated so far.
    pub fn of_thread() -> Self {
        COUNTED.get()
    }
}

impl Add for Allocations {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { count: self.count + other.count, bytes: self.bytes + other.bytes }
    }
}

impl Sub for Allocations {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { count: self.count - earlier.count, bytes: self.bytes - earlier.bytes }
    }
}

/// Returns the bytes that the current thread has allocated and not freed; negative if it freed what
/// others had allocated.
pub fn live_bytes() -> i64 {
    LIVE.get()
}

/// The system's allocator, counted per thread.
///
/// Counters shared by all threads would put one contended cache line under every allocation and
/// slow down just those subjects that allocate.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Counting;

thread_local! {
    // Constant and without `Drop`: reading them allocates nothing, at any point of a thread's life.
    static COUNTED: Cell<Allocations> = const { Cell::new(Allocations { count: 0, bytes: 0 }) };
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

fn count(grown: usize, live: i64) {
    let counted = COUNTED.get();
    COUNTED.set(Allocations { count: counted.count + 1, bytes: counted.bytes + u64::try_from(grown).unwrap_or(0) });
    LIVE.set(LIVE.get() + live);
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[expect(unsafe_code, reason = "a global allocator is an unsafe trait; every call goes to the system's unchanged")]
// SAFETY: each method passes its arguments on to `System` and returns what that returned, so the
// contract is `System`'s; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), signed(layout.size()));
        // SAFETY: the caller keeps the contract of `alloc`, which is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), signed(layout.size()));
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is `System`'s.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - signed(layout.size()));
        // SAFETY: the caller vouches that `pointer` came from this allocator, hence from `System`,
        // with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.saturating_sub(layout.size()), signed(size) - signed(layout.size()));
        // SAFETY: the caller vouches that `pointer` came from this allocator, hence from `System`,
        // with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_counts_its_own_allocations() {
        let (before, live) = (Allocations::of_thread(), live_bytes());
        let block = std::hint::black_box(vec![0u8; 1000]);
        std::thread::scope(|scope| {
            scope.spawn(|| drop(std::hint::black_box(vec![0u8; 1 << 20])));
        });
        let counted = Allocations::of_thread() - before;
        assert!(counted.count >= 1 && (1000..100_000).contains(&counted.bytes), "{counted:?}");
        assert!(live_bytes() - live >= 1000);
        drop(block);
        assert!(live_bytes() - live < 100_000);
    }
}
