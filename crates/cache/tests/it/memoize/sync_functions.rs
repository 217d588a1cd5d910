//! Sync functions: keys, errors, absence, threads, recursion.

use super::*;

static CALLS: Calls = Calls::new();

#[memoize]
fn fib(n: u64) -> u64 {
    CALLS.next();
    if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
}

#[test]
fn a_function_that_calls_itself_runs_once_per_argument() {
    assert_eq!(fib(80), 23_416_728_348_467_685);
    assert_eq!(CALLS.count(), 81);
    assert_eq!(fib_uncached(10), 55);
    assert_eq!(CALLS.count(), 82, "what the uncached one calls is memoized");
    assert_eq!(fib_cache().len(), 81);
    assert!(fib_cache().name().ends_with("sync_functions::fib"));
}

#[memoize]
fn sum_to(n: u64) -> u64 {
    if n == 0 { 0 } else { n + sum_to(n - 1) }
}

#[test]
fn a_recursion_of_some_hundred_levels_fits_the_stack_of_a_thread() {
    assert_eq!(sum_to(250), 31_375);
}

#[memoize(key = "text.len()", key_type = "usize", capacity = 100)]
fn depth(text: &str, left: u32) -> u32 {
    if left == 0 { 0 } else { depth(text, left - 1) + 1 }
}

#[test]
fn the_key_that_it_is_called_for_is_no_hindrance() {
    assert_eq!(depth("abc", 5), 5);
    assert_eq!(depth("xyz", 9), 5, "the length is all that counts");
}

static READS: Calls = Calls::new();

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("no such file")]
struct Missing;

#[memoize(ttl = "60s", name = "files")]
fn read(folder: &Path, name: &str, parts: &[u16], flag: &'static str) -> Result<String, Missing> {
    match (READS.next(), folder.join(name)) {
        (_, path) if path.ends_with("missing") => Err(Missing),
        (call, path) => Ok(format!("{} {parts:?} {flag} {call}", path.display())),
    }
}

#[test]
fn what_is_borrowed_is_cloned_into_the_key_and_errors_are_not_cached() {
    let read_it = |name: &str| read(Path::new("/etc"), name, &[1, 2], "ro");
    assert_eq!(read_it("motd").unwrap(), "/etc/motd [1, 2] ro 1");
    assert_eq!(read_it("motd").unwrap(), "/etc/motd [1, 2] ro 1");
    assert_eq!((read_it("missing"), read_it("missing")), (Err(Missing), Err(Missing)));
    assert_eq!(READS.count(), 3);
    assert_eq!((read_cache().len(), read_cache().name()), (1, "files"));

    assert_eq!(read_refresh(Path::new("/etc"), "motd", &[1, 2], "ro").unwrap(), "/etc/motd [1, 2] ro 4");
    assert_eq!(read_it("motd").unwrap(), "/etc/motd [1, 2] ro 4");
    assert!(read_invalidate(Path::new("/etc"), "motd", &[1, 2], "ro"));
    assert!(!read_invalidate(Path::new("/etc"), "motd", &[1, 2], "ro"));
    assert_eq!(read_it("motd").unwrap(), "/etc/motd [1, 2] ro 5");
}

/// `io::Error` cannot be cloned, so the function says how it is shared.
#[memoize(map_err = "|error| io::Error::other(error.to_string())", key = name)]
fn shared_error(name: &str, (left, right): (u8, u8)) -> io::Result<u8> {
    if name.is_empty() { Err(io::Error::other("no name")) } else { Ok(left + right) }
}

#[test]
fn an_error_that_is_no_clone_is_made_of_the_shared_one() {
    assert_eq!(shared_error("a", (1, 2)).unwrap(), 3);
    assert_eq!(shared_error("a", (5, 5)).unwrap(), 3, "only the name counts");
    assert_eq!(shared_error("", (1, 2)).unwrap_err().to_string(), "the loader failed");
}

#[memoize]
fn panics(n: u8) -> u8 {
    assert!(n > 0, "zero is not allowed");
    n
}

#[test]
fn a_panic_is_the_callers() {
    assert_eq!(panics(1), 1);
    let panic = std::panic::catch_unwind(|| panics(0)).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "zero is not allowed");
}

static FOUND: Calls = Calls::new();

#[memoize(negative_ttl = "10s")]
fn find(id: u64) -> Option<String> {
    FOUND.next();
    (id == 1).then(|| "one".to_owned())
}

static SOUGHT: Calls = Calls::new();

#[memoize]
fn seek(id: u64) -> Option<u64> {
    SOUGHT.next();
    (id == 1).then_some(1)
}

#[test]
fn absence_is_remembered_where_that_is_asked_for() {
    for _ in 0..3 {
        assert_eq!((find(1), find(2)), (Some("one".to_owned()), None));
        assert_eq!((seek(1), seek(2)), (Some(1), None));
    }
    assert_eq!((FOUND.count(), SOUGHT.count()), (2, 4));
}

static TWICE: Calls = Calls::new();

#[memoize]
fn slow(n: u64, gate: &Gate) -> u64 {
    TWICE.next();
    gate.0.wait();
    n
}

#[derive(Clone)]
struct Gate(Arc<std::sync::Barrier>);

impl PartialEq for Gate {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Gate {}

impl std::hash::Hash for Gate {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl bedplate_cache::Weigh for Gate {
    fn heap_bytes(&self) -> u64 {
        0
    }
}

#[test]
fn threads_wait_for_one_run_and_not_for_those_of_other_keys() {
    let gate = Gate(Arc::new(std::sync::Barrier::new(3)));
    // Both keys meet at the barrier, so neither waits for the other; four threads share two runs.
    let threads: Vec<_> = [1, 1, 2, 2]
        .map(|n| {
            let gate = gate.clone();
            std::thread::spawn(move || slow(n, &gate))
        })
        .into();
    let coalesced = || slow_cache().stats().coalesced;
    while coalesced() < 2 {
        std::thread::yield_now();
    }
    gate.0.wait();
    let answers: Vec<u64> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!((answers, TWICE.count()), (vec![1, 1, 2, 2], 2));
}
