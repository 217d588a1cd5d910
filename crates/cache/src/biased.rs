//! A lock that favors readers while nobody writes.
//!
//! A reader of a common lock adds to a count and takes from it again: two locked operations of the
//! processor, which are most of what a hit costs, on a line that all readers of a shard wait for.
//! Here a reader notes in a line of its own which lock it reads, with one such operation, and
//! clears the note with a plain store. A writer takes the common lock, ends the favor, and waits
//! until no note names the lock. The favor comes back after a number of reads without a write that
//! outweighs what it costs to end it; until then everyone uses the common lock. After Dice and Kogan,
//! "BRAVO: Biased Locking for Reader-Writer Locks" (USENIX ATC 2019), with a place per thread
//! instead of a table by hash. The alternative, reads without any lock, needs reclamation and far
//! more `unsafe` than the promise of this trait.

#![expect(unsafe_code, reason = "the two promises of `RawRwLock`: whoever unlocks has locked, and a lock excludes")]

#[cfg(not(shuttle))]
use std::thread;
#[cfg(not(shuttle))]
use std::time::Duration;

use parking_lot::lock_api::RawRwLock;

use self::table::{notes, own_note, seats};
use crate::sync::{AtomicBool, AtomicU32, AtomicUsize, CommonLock, Ordering};

/// The lock of a shard, without what it guards.
pub(crate) struct Biased<L = CommonLock> {
    /// Whether readers may do with a note. Changed to true under the common lock shared, to false
    /// under the lock alone.
    favored: AtomicBool,
    /// Reads by the common lock since the last write; some may be lost.
    reads: AtomicU32,
    common: L,
}

/// Which lock the thread of a seat reads by a note: its address, or zero.
///
/// As far from the next that no two are fetched together.
#[repr(align(128))]
pub(crate) struct Note(AtomicUsize);

impl<L: RawRwLock> Biased<L> {
    #[inline]
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Locks by a note, if readers are favored and the note of this thread is free.
    #[inline]
    fn try_note(&self) -> Option<&'static Note> {
        if !self.favored.load(Ordering::Relaxed) {
            return None;
        }
        let own @ Note(note) = own_note()?;
        if note.load(Ordering::Relaxed) != 0 {
            return None;
        }
        // Noted first and looked after, the writer the other way round, all in one order that
        // everyone agrees on: so at least one of the two sees the other. To see the favor is also to
        // see all that was written before it was granted.
        note.store(self.address(), Ordering::SeqCst);
        if self.favored.load(Ordering::SeqCst) {
            return Some(own);
        }
        note.store(0, Ordering::Release);
        None
    }

    /// Counts a read by the common lock, and favors readers after enough of them.
    #[inline]
    fn read_by_common_lock(&self) {
        let reads = self.reads.load(Ordering::Relaxed).saturating_add(1);
        self.reads.store(reads, Ordering::Relaxed);
        if reads >= FAVORED_AFTER {
            self.favor(reads);
        }
    }

    #[cold]
    fn favor(&self, reads: u32) {
        let enough = FAVORED_AFTER.saturating_add(u32::try_from(seats()).unwrap_or(u32::MAX).saturating_mul(PER_SEAT));
        if reads >= enough && own_note().is_some() {
            self.favored.store(true, Ordering::SeqCst);
        }
    }

    /// Ends the favor, with the common lock taken alone.
    #[inline]
    fn end_favor(&self) {
        self.reads.store(0, Ordering::Relaxed);
        if self.favored.load(Ordering::Relaxed) {
            self.wait_for_readers();
        }
    }

    #[cold]
    fn wait_for_readers(&self) {
        self.favored.store(false, Ordering::SeqCst);
        let mut looks = 0u32;
        for Note(note) in notes() {
            while note.load(Ordering::SeqCst) == self.address() {
                wait(looks);
                looks = looks.saturating_add(1);
            }
        }
    }
}

/// How a reader has locked, as its guard remembers it.
pub(crate) enum Reading<L: RawRwLock> {
    ByNote(&'static Note),
    ByCommonLock(L::SharedGuard),
}

// SAFETY: Taken alone, the common lock keeps out all others who take it, and `end_favor` returns only
// after no note names this lock and none can come that is relied on: a reader that notes it later sees
// that the favor has ended, and takes the common lock. A note is set by its own thread alone, only
// while it is free, and is cleared once, by the guard that stands for it.
unsafe impl<L: RawRwLock> RawRwLock for Biased<L> {
    const INIT: Self = Self { favored: AtomicBool::new(false), reads: AtomicU32::new(0), common: L::INIT };

    type SharedGuard = Reading<L>;
    type ExclusiveGuard = L::ExclusiveGuard;

    #[inline]
    fn lock_shared(&self) -> Reading<L> {
        if let Some(note) = self.try_note() {
            return Reading::ByNote(note);
        }
        let guard = self.common.lock_shared();
        self.read_by_common_lock();
        Reading::ByCommonLock(guard)
    }

    fn try_lock_shared(&self) -> Option<Reading<L>> {
        self.try_note().map(Reading::ByNote).or_else(|| self.common.try_lock_shared().map(Reading::ByCommonLock))
    }

    #[inline]
    unsafe fn unlock_shared(&self, guard: Reading<L>) {
        match guard {
            Reading::ByNote(Note(note)) => note.store(0, Ordering::Release),
            // SAFETY: This is the guard that the common lock gave to `lock_shared`.
            Reading::ByCommonLock(guard) => unsafe { self.common.unlock_shared(guard) },
        }
    }

    #[inline]
    fn lock_exclusive(&self) -> L::ExclusiveGuard {
        let guard = self.common.lock_exclusive();
        self.end_favor();
        guard
    }

    fn try_lock_exclusive(&self) -> Option<L::ExclusiveGuard> {
        let guard = self.common.try_lock_exclusive()?;
        self.end_favor();
        Some(guard)
    }

    #[inline]
    unsafe fn unlock_exclusive(&self, guard: L::ExclusiveGuard) {
        // SAFETY: This is the guard that the common lock gave to `lock_exclusive`.
        unsafe { self.common.unlock_exclusive(guard) };
    }

    fn is_locked(&self) -> bool {
        self.common.is_locked() || notes().any(|Note(note)| note.load(Ordering::SeqCst) == self.address())
    }

    fn is_locked_exclusive(&self) -> bool {
        self.common.is_locked_exclusive()
    }
}

/// Waits for a reader, which is done in no time unless its thread was interrupted.
#[cfg(not(shuttle))]
fn wait(looks: u32) {
    if looks < 64 {
        std::hint::spin_loop();
    } else if looks < 1024 {
        thread::yield_now();
    } else {
        thread::park_timeout(Duration::from_micros(50));
    }
}

#[cfg(shuttle)]
fn wait(_: u32) {
    shuttle::thread::yield_now();
}

/// A note for each of the first threads; those beyond use the common lock.
#[cfg(not(shuttle))]
mod table {
    use super::{AtomicUsize, Note};
    use crate::seat::own;
    pub(super) use crate::seat::seats;

    #[inline]
    pub(super) fn own_note() -> Option<&'static Note> {
        own(&NOTES)
    }

    /// Every note that can be in use.
    pub(super) fn notes() -> impl Iterator<Item = &'static Note> {
        NOTES.iter().take(seats())
    }

    static NOTES: [Note; 256] = [const { Note(AtomicUsize::new(0)) }; 256];
}

/// The same for the threads of a scheduler, which run on one of the system's.
#[cfg(shuttle)]
mod table {
    use super::{AtomicUsize, Note};

    pub(super) fn own_note() -> Option<&'static Note> {
        NOTES.get(usize::from(shuttle::current::me()))
    }

    pub(super) fn notes() -> impl Iterator<Item = &'static Note> {
        NOTES.iter()
    }

    pub(super) const fn seats() -> usize {
        0
    }

    shuttle::lazy_static! {
        static ref NOTES: [Note; 4] = [const { Note(AtomicUsize::new(0)) }; 4];
    }
}

/// Reads without a write after which readers are favored, on top of those for each thread whose note a
/// writer then has to look at.
const FAVORED_AFTER: u32 = if cfg!(shuttle) { 1 } else { 64 };
const PER_SEAT: u32 = 16;

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc;

    use parking_lot::lock_api::RwLock;

    use super::*;

    type Lock<T> = RwLock<Biased, T>;

    /// Reads until readers are favored.
    fn favored<T>(value: T) -> Lock<T> {
        let lock = Lock::new(value);
        // Other tests take seats meanwhile.
        while !is_favored(&lock) {
            drop(lock.read());
        }
        lock
    }

    fn is_favored<T>(lock: &Lock<T>) -> bool {
        // SAFETY: It is only looked at.
        unsafe { lock.raw() }.favored.load(Ordering::SeqCst)
    }

    #[test]
    fn readers_are_favored_until_somebody_writes() {
        let lock = favored(1);
        let by_note = lock.read();
        // SAFETY: It is only looked at.
        assert!(!unsafe { lock.raw() }.common.is_locked(), "the common lock was taken");
        assert!(lock.is_locked());
        drop(by_note);
        assert!(!lock.is_locked());
        *lock.write() += 1;
        assert!(!is_favored(&lock));
        assert_eq!(*lock.read(), 2);
    }

    #[test]
    fn a_thread_that_reads_twice_uses_its_note_once() {
        let (one, other) = (favored(1), favored(2));
        let (a, b, c) = (one.read(), other.read(), one.read());
        assert_eq!(*a + *b + *c, 4);
        drop(a);
        assert!(one.is_locked() && other.is_locked());
        drop((b, c));
        assert!(!one.is_locked() && !other.is_locked());
    }

    #[test]
    fn a_writer_waits_for_who_reads_by_a_note() {
        let lock = Arc::new(favored(1));
        let reading = lock.read();
        let (begun, begins) = mpsc::channel();
        let writer = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || {
                begun.send(()).unwrap();
                *lock.write() = 2;
            })
        };
        begins.recv().unwrap();
        // The favor ends at once; the writer is still kept out.
        while is_favored(&lock) {
            thread::yield_now();
        }
        assert!(lock.is_locked_exclusive(), "the common lock is the writer's");
        assert_eq!(*reading, 1);
        drop(reading);
        writer.join().unwrap();
        assert_eq!(*lock.read(), 2);
    }

    #[test]
    fn nobody_sees_half_of_a_write() {
        let (readers, writes) = if cfg!(miri) { (2, 20) } else { (3, 20_000) };
        let lock = favored([0_u64; 2]);
        let seen = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..readers {
                scope.spawn(|| {
                    loop {
                        let [first, second] = *lock.read();
                        assert_eq!(first, second);
                        seen.fetch_add(1, Ordering::Relaxed);
                        if first == writes {
                            break;
                        }
                    }
                });
            }
            for n in 1..=writes {
                if n % 16 == 0 {
                    // Long enough without a write for the favor to come back, if anybody reads.
                    (0..200).for_each(|_| drop(lock.read()));
                }
                let mut pair = lock.write();
                pair[0] = n;
                pair[1] = n;
            }
        });
        assert_eq!(*lock.read(), [writes; 2]);
    }
}
