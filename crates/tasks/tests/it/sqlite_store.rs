use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bedplate_tasks::rusqlite::Connection;
use bedplate_tasks::store::{
    ClaimRequest, Durability, End, JobState, JobStore as _, KeyLimit, NewJob, Rate, Retention, Settled, Settlement,
    Signal, SqliteStore, Start, StoreControl as _, StoreError,
};
use bedplate_tasks::{Drain, Job, JobContext, Jobs, TaskId};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::support::MS;

const TERM: Duration = Duration::from_mins(1);

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).await.unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn job() -> NewJob {
    NewJob::new("x", b"{}".to_vec())
}

fn request(most: usize) -> ClaimRequest {
    ClaimRequest::new("worker-1", ["x"], most, TERM)
}

fn field<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> &'static str {
    match answer {
        Err(StoreError::Invalid { field, .. }) => field,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn settings_and_files_that_cannot_be_are_refused() {
    let folder = folder();
    let path = folder.path().join("jobs.db");
    assert_eq!(field(SqliteStore::open(":memory:").await), "path");
    assert_eq!(field(SqliteStore::open("").await), "path");
    assert_eq!(field(SqliteStore::open(folder.path()).await), "path");
    assert_eq!(field(SqliteStore::builder(&path).capacity(0).open().await), "capacity");
    let missing = SqliteStore::open(folder.path().join("no/such/folder/jobs.db")).await;
    assert!(matches!(missing, Err(StoreError::Backend { transient: false, .. })), "{missing:?}");
    std::fs::write(&path, "this is a text and no database, as everybody can see who reads it").unwrap();
    assert!(matches!(open_err(&path).await, StoreError::Backend { .. }));
    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("create table mine (a)").unwrap();
    assert!(matches!(open_err(&other).await, StoreError::Invalid { field: "database", .. }));
    let newer = folder.path().join("newer.db");
    open(&newer).await.close().await.unwrap();
    Connection::open(&newer).unwrap().execute_batch("pragma user_version = 2").unwrap();
    assert!(matches!(open_err(&newer).await, StoreError::Invalid { field: "schema version", .. }));
}

async fn open_err(path: &Path) -> StoreError {
    SqliteStore::open(path).await.unwrap_err()
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let path = folder.path().join("jobs.db");
    let store = open(&path).await;
    store.enqueue(vec![job()]).await.unwrap();
    for name in ["jobs.db", "jobs.db-wal", "jobs.db-shm"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
}

#[tokio::test]
async fn a_closed_store_says_so_and_its_jobs_are_there_again() {
    let folder = folder();
    let path = folder.path().join("jobs.db");
    let store = open(&path).await;
    let ids: Vec<_> = store.enqueue(vec![job(), job()]).await.unwrap().iter().map(|one| one.id()).collect();
    let claim = store.claim(&request(1)).await.unwrap().remove(0);
    store.close().await.unwrap();
    assert!(matches!(store.enqueue(vec![job()]).await, Err(StoreError::Closed)));
    assert!(matches!(store.job(ids[0]).await, Err(StoreError::Closed)));
    let again = open(&path).await;
    assert_eq!(again.job(ids[0]).await.unwrap().unwrap().state, JobState::Running);
    let end = End::new(claim.lease, Settlement::Completed(b"1".to_vec()));
    assert_eq!(again.settle(&[end]).await.unwrap(), [Settled::Accepted], "a lease outlives the connection");
    assert_eq!(again.claim(&request(5)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_full_store_takes_none_of_a_list() {
    let folder = folder();
    let store = SqliteStore::builder(folder.path().join("jobs.db")).capacity(3).open().await.unwrap();
    store.enqueue(vec![job(), job()]).await.unwrap();
    let full = store.enqueue(vec![job(), job()]).await;
    assert!(matches!(full, Err(StoreError::Full { capacity: 3 })), "{full:?}");
    assert_eq!(store.stats().await.unwrap().unfinished(), 2);
    store.enqueue(vec![job()]).await.unwrap();
    store.claim(&request(2)).await.unwrap();
    store.enqueue(vec![job(), job()]).await.unwrap();
}

/// Another program may hold the lock for seconds: calls wait, and none fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_writer_only_delays() {
    let folder = folder();
    let path = folder.path().join("jobs.db");
    let store = open(&path).await;
    let foreign = Connection::open(&path).unwrap();
    foreign.execute_batch("begin immediate").unwrap();
    let began = Instant::now();
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.enqueue(vec![job()]).await })
        })
        .collect();
    sleep(Duration::from_secs(3)).await;
    foreign.execute_batch("rollback").unwrap();
    for call in waiting {
        call.await.unwrap().unwrap();
    }
    assert!(began.elapsed() >= Duration::from_secs(3));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(store.stats().await.unwrap().unfinished(), 20);
}

/// One command's failure is its own: the others of its transaction are done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_call_harms_no_other() {
    let folder = folder();
    let store = Arc::new(open(&folder.path().join("jobs.db")).await);
    let calls: Vec<_> = (0..200)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let one = if number % 3 == 0 { job().depends_on([TaskId::generate()]) } else { job() };
                let fine = job();
                let id = fine.id;
                (number, id, store.enqueue(vec![fine, one]).await)
            })
        })
        .collect();
    let mut taken = 0;
    for call in calls {
        let (number, id, answer) = call.await.unwrap();
        let there = store.job(id).await.unwrap().is_some();
        assert_eq!(there, number % 3 != 0, "all or none of {number}");
        assert_eq!(answer.is_ok(), there);
        taken += if there { 2 } else { 0 };
    }
    assert_eq!(store.stats().await.unwrap().unfinished(), taken);
}

#[tokio::test]
async fn a_transaction_of_the_callers_and_its_jobs_are_one() {
    let folder = folder();
    let path = folder.path().join("shop.db");
    let store = open(&path).await;
    let mut mine = Connection::open(&path).unwrap();
    mine.execute_batch("create table orders (id integer)").unwrap();
    let (kept, dropped) = (job(), job());
    let (kept_id, dropped_id) = (kept.id, dropped.id);
    let patient = request(1).wait(Duration::from_secs(10));
    let waits = {
        let store = store.clone();
        tokio::spawn(async move { store.claim(&patient).await })
    };
    sleep(50 * MS).await;
    for (order, job, commits) in [(1, dropped, false), (2, kept, true)] {
        let transaction = mine.transaction().unwrap();
        transaction.execute("insert into orders values (?1)", [order]).unwrap();
        store.enqueue_in(&transaction, &[job]).unwrap();
        if commits {
            transaction.commit().unwrap();
        }
    }
    let began = Instant::now();
    let claims = waits.await.unwrap().unwrap();
    assert_eq!(claims[0].job.id, kept_id);
    assert!(began.elapsed() < 500 * MS, "noticed without `notify` after {:?}", began.elapsed());
    assert!(store.job(dropped_id).await.unwrap().is_none());
    let orders: i64 = mine.query_row("select sum(id) from orders", [], |row| row.get(0)).unwrap();
    assert_eq!((orders, store.stats().await.unwrap().unfinished()), (2, 1));
}

/// Two handles to one file, as two processes have them.
#[tokio::test]
async fn another_connection_notices_soon() {
    let folder = folder();
    let path = folder.path().join("jobs.db");
    let (here, there) = (open(&path).await, open(&path).await);
    let mut waits = Vec::new();
    for _ in 0..10 {
        let patient = request(1).wait(Duration::from_secs(10));
        let store = there.clone();
        let claim = tokio::spawn(async move { (store.claim(&patient).await.unwrap().remove(0), Instant::now()) });
        sleep(60 * MS).await;
        let put = Instant::now();
        let id = here.enqueue(vec![job()]).await.unwrap()[0].id();
        let (claim, at) = claim.await.unwrap();
        assert_eq!(claim.job.id, id);
        waits.push(at.duration_since(put));
    }
    waits.sort();
    assert!(waits[5] < 200 * MS, "{waits:?}");
}

/// The store's clock does not go back: a lease that was given out does not become longer, and what was due is.
#[tokio::test]
async fn a_clock_that_is_set_back_does_not_stop_the_store() {
    let folder = folder();
    let offset = Arc::new(AtomicI64::new(0));
    let shared = Arc::clone(&offset);
    let start = 1_800_000_000_000_i64;
    let clock = move || UNIX_EPOCH + Duration::from_millis((start + shared.load(Ordering::SeqCst)).unsigned_abs());
    let path = folder.path().join("jobs.db");
    let store = SqliteStore::builder(&path).clock(clock.clone()).open().await.unwrap();
    store.enqueue(vec![job().start(Start::In(Duration::from_secs(10)))]).await.unwrap();
    assert!(store.claim(&request(1)).await.unwrap().is_empty());
    offset.store(9_000, Ordering::SeqCst);
    assert!(store.claim(&request(1)).await.unwrap().is_empty());
    // An hour back: time goes on from where it was.
    offset.store(9_000 - 3_600_000, Ordering::SeqCst);
    assert!(store.claim(&request(1)).await.unwrap().is_empty());
    offset.store(10_000 - 3_600_000 + 100, Ordering::SeqCst);
    assert_eq!(store.claim(&request(1)).await.unwrap().len(), 1);
    // A process that starts now does not begin an hour ago either.
    drop(store);
    let later = SqliteStore::builder(&path).clock(clock).open().await.unwrap();
    later.enqueue(vec![job()]).await.unwrap();
    let record = later.job(later.claim(&request(1)).await.unwrap()[0].job.id).await.unwrap().unwrap();
    assert!(record.enqueued_at >= UNIX_EPOCH + Duration::from_millis(start.unsigned_abs() + 9_000));
    assert!(record.enqueued_at < SystemTime::UNIX_EPOCH + Duration::from_millis(start.unsigned_abs() + 12_000));
}

/// What a claim costs does not grow with what has ended, waits for its time, or is of other kinds.
#[tokio::test]
async fn a_claim_costs_the_same_among_many() {
    let folder = folder();
    let store =
        SqliteStore::builder(folder.path().join("jobs.db")).durability(Durability::Normal).open().await.unwrap();
    let cost = async || {
        let mut costs = Vec::new();
        for _ in 0..40 {
            store.enqueue(vec![job()]).await.unwrap();
            let began = Instant::now();
            let claims = store.claim(&request(1)).await.unwrap();
            costs.push(began.elapsed());
            let end = End::new(claims[0].lease, Settlement::Completed(b"1".to_vec()));
            assert_eq!(store.settle(&[end]).await.unwrap(), [Settled::Accepted]);
        }
        costs.sort();
        costs[costs.len() / 2]
    };
    let empty = cost().await;
    for _ in 0..10 {
        store.enqueue((0..1_000).map(|_| job()).collect()).await.unwrap();
        while let claims = store.claim(&request(1_000)).await.unwrap()
            && !claims.is_empty()
        {
            let ends: Vec<End> =
                claims.iter().map(|claim| End::new(claim.lease, Settlement::Completed(b"1".to_vec()))).collect();
            store.settle(&ends).await.unwrap();
        }
        store.enqueue((0..1_000).map(|_| job().start(Start::In(TERM))).collect()).await.unwrap();
        store.enqueue((0..1_000).map(|_| NewJob::new("other", b"{}".to_vec())).collect()).await.unwrap();
    }
    let full = cost().await;
    assert!(full < empty * 8 + 2 * MS, "{empty:?} alone, {full:?} among 30,000");
}

#[tokio::test]
async fn the_sweep_forgets_in_parts_and_the_log_stays_small() {
    let folder = folder();
    let path = folder.path().join("jobs.db");
    let store = SqliteStore::builder(&path).durability(Durability::Normal).open().await.unwrap();
    for _ in 0..6 {
        let brief = Retention::both(Duration::ZERO);
        store.enqueue((0..500).map(|_| job().retention(brief)).collect()).await.unwrap();
        let claims = store.claim(&request(500)).await.unwrap();
        let ends: Vec<End> =
            claims.iter().map(|claim| End::new(claim.lease, Settlement::Completed(vec![b'1'; 4_000]))).collect();
        store.settle(&ends).await.unwrap();
    }
    sleep(5 * MS).await;
    assert_eq!(store.maintain().await.unwrap().pruned, 3_000);
    assert_eq!(store.stats().await.unwrap().completed, 0);
    assert!(store.check().await.unwrap());
    let log = folder.path().join("jobs.db-wal");
    // Written back, it is used again from its beginning.
    store.maintain().await.unwrap();
    let before = std::fs::metadata(&log).unwrap().len();
    for _ in 0..20 {
        store.enqueue((0..500).map(|_| job()).collect()).await.unwrap();
        store.maintain().await.unwrap();
    }
    let after = std::fs::metadata(&log).unwrap().len();
    assert!(after < before.max(16 << 20) * 2, "{before} and {after} bytes");
}

/// Questions that come all the time do not keep a store from hearing of other processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_reader_still_notices_others() {
    let folder = folder();
    let path = folder.path().join("jobs.db");
    let (mine, other) = (open(&path).await, open(&path).await);
    let asks = {
        let mine = mine.clone();
        tokio::spawn(async move {
            loop {
                mine.job(TaskId::generate()).await.unwrap();
            }
        })
    };
    let waits = {
        let mine = mine.clone();
        tokio::spawn(async move { mine.claim(&request(1).wait(Duration::from_secs(8))).await.unwrap() })
    };
    sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    other.enqueue(vec![job()]).await.unwrap();
    assert_eq!(waits.await.unwrap().len(), 1);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    asks.abort();
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Quick;

impl Job for Quick {
    const KIND: &'static str = "quick.v1";
    type Output = ();
    type Error = String;
    type Progress = ();
    type State = ();

    async fn run(self, _: JobContext<Self>) -> Result<(), String> {
        Ok(())
    }
}

/// Whoever keeps a handle after its runtime is gone takes no jobs from others.
#[test]
fn a_worker_whose_runtime_is_gone_takes_no_jobs() {
    let folder = folder();
    let path = folder.path().join("jobs.db");
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let first = runtime();
    let orphan = first.block_on(async { Jobs::builder(open(&path).await).register::<Quick>().start().unwrap() });
    first.shutdown_timeout(Duration::from_secs(1));
    runtime().block_on(async {
        sleep(Duration::from_millis(1_500)).await;
        let jobs = Jobs::builder(open(&path).await).register::<Quick>().start().unwrap();
        let handles = jobs.submit_many((0..200).map(|_| Quick)).await.unwrap();
        for handle in handles {
            handle.wait_timeout(Duration::from_secs(5)).await.unwrap();
            assert_eq!(handle.status().await.unwrap().attempts, 1);
        }
        jobs.shutdown(Drain::default()).await;
    });
    drop(orphan);
}

/// Dropping the last handle tells the store what has ended, and gives back what runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_runtime_hands_in_what_has_ended() {
    let folder = folder();
    let path = folder.path().join("jobs.db");
    let store = open(&path).await;
    for _ in 0..5 {
        let jobs = Jobs::builder(store.clone()).register::<Quick>().start().unwrap();
        jobs.submit_many((0..50).map(|_| Quick)).await.unwrap();
        drop(jobs);
        let began = Instant::now();
        while store.stats().await.unwrap().queues.iter().any(|queue| queue.running > 0) {
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", store.stats().await.unwrap());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn two_changes_of_another_process_are_two_hints_however_close() {
    let folder = folder();
    let path = folder.path().join("jobs.db");
    let (ours, other) = (open(&path).await, open(&path).await);
    let mut signals = ours.signals();
    for change in ["first", "second"] {
        other.enqueue(vec![job()]).await.unwrap();
        let heard = tokio::time::timeout(Duration::from_secs(5), signals.recv()).await;
        assert_eq!(heard.expect(change).unwrap(), Signal::Changed);
    }
}

/// What waits for the window of its key comes up one by one when that opens, not all at once, again and again.
#[tokio::test]
async fn a_window_does_not_wake_the_whole_backlog() {
    let folder = folder();
    let path = folder.path().join("jobs.db");
    let store = open(&path).await;
    let limited = || job().limit(KeyLimit::rate("host-1", Rate::new(2, 3_000 * MS)));
    store.enqueue((0..2_500).map(|_| limited()).collect()).await.unwrap();
    let request = request(10).wait(200 * MS);
    assert_eq!(store.claim(&request).await.unwrap().len(), 2);
    assert!(store.claim(&request).await.unwrap().is_empty());
    let look = Connection::open(&path).unwrap();
    let ready = || look.query_row("select count(*) from jobs where place = 0", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(ready(), 0, "all are out of the way");
    sleep(3_000 * MS).await;
    store.maintain().await.unwrap();
    assert_eq!(ready(), 1);
    assert_eq!(store.claim(&request).await.unwrap().len(), 2, "the next follows the first");
    assert_eq!(ready(), 0);
}
