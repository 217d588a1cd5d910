//! What the PostgreSQL store does beyond the contract.

use std::time::Duration;

use bedplate_tasks::TaskId;
use bedplate_tasks::sqlx::{self, Connection as _, query_as, raw_sql};
use bedplate_tasks::store::{
    Beat, Claim, ClaimRequest, End, Enqueued, JobProgress, JobState, JobStore as _, KeyLimit, NewJob, PostgresStore,
    Rate, Retention, Settled, Settlement, Signal, StoreControl as _, StoreError, WorkerInfo,
};
use graphile_worker::{IntoTaskHandlerResult, TaskHandler, WorkerContext, WorkerOptions};
use tokio::time::{Instant, sleep, timeout};

use crate::postgres_support::Sandbox;

const KIND: &str = "store.v1";
const TERM: Duration = Duration::from_mins(1);
const SOON: Duration = Duration::from_secs(5);

fn job() -> NewJob {
    NewJob::new(KIND, b"{\"n\":1}".to_vec())
}

fn request(most: usize) -> ClaimRequest {
    ClaimRequest::new("worker-1", [KIND], most, TERM)
}

async fn take(store: &PostgresStore) -> Claim {
    let mut claims = store.claim(&request(1).wait(SOON)).await.unwrap();
    claims.pop().unwrap()
}

async fn complete(store: &PostgresStore, claim: &Claim) -> Settled {
    let ends = [End::new(claim.lease, Settlement::Completed(b"1".to_vec()))];
    *store.settle(&ends).await.unwrap().first().unwrap()
}

async fn state(store: &PostgresStore, id: TaskId) -> Option<JobState> {
    store.job(id).await.unwrap().map(|record| record.state)
}

#[tokio::test]
async fn a_job_exists_if_and_only_if_the_transaction_commits() {
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.store().await;
    let mut mine = sandbox.connection().await;
    raw_sql(sandbox.sql("create table @side@.orders (id int)")).execute(&mut mine).await.unwrap();
    let order = || sandbox.sql("insert into @side@.orders values (7)");

    let mut transaction = mine.begin().await.unwrap();
    sqlx::query(order()).execute(&mut *transaction).await.unwrap();
    let rolled_back = store.enqueue_in(&mut transaction, vec![job(), job()]).await.unwrap();
    assert!(store.job(rolled_back[0].id()).await.unwrap().is_none(), "not before the commit");
    transaction.rollback().await.unwrap();

    // Killed between the work and its commit.
    let (backend,): (i32,) = query_as("select pg_backend_pid()").fetch_one(&mut mine).await.unwrap();
    let mut transaction = mine.begin().await.unwrap();
    sqlx::query(order()).execute(&mut *transaction).await.unwrap();
    let killed = store.enqueue_in(&mut transaction, vec![job()]).await.unwrap();
    sandbox.execute(&format!("select pg_terminate_backend({backend}, 5000)")).await;
    assert!(transaction.commit().await.is_err());

    let mut mine = sandbox.connection().await;
    let waiting = request(10).wait(SOON);
    let commit = async {
        sleep(Duration::from_millis(300)).await;
        let mut transaction = mine.begin().await.unwrap();
        sqlx::query(order()).execute(&mut *transaction).await.unwrap();
        let ids = store.enqueue_in(&mut transaction, vec![job()]).await.unwrap();
        transaction.commit().await.unwrap();
        (ids, Instant::now())
    };
    let claims = async { (store.claim(&waiting).await.unwrap(), Instant::now()) };
    let ((claims, woke), (ids, committed)) = tokio::join!(claims, commit);
    assert_eq!(claims.len(), 1, "only what was committed: {claims:?}");
    assert_eq!(claims[0].job.id, ids[0].id());
    assert!(woke.duration_since(committed) < Duration::from_millis(800), "the commit wakes it");
    for gone in rolled_back.iter().chain(&killed) {
        assert!(store.job(gone.id()).await.unwrap().is_none());
    }
    assert_eq!(sandbox.number("select count(*) from @engine@._private_jobs").await, 1, "no orphans");
    assert_eq!(sandbox.number("select count(*) from @side@.orders").await, 1);
}

#[tokio::test]
async fn what_others_put_into_the_engine_is_done() {
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.store().await;
    for (payload, rest) in
        [("{\"from\":\"node\"}", "run_at := now() - interval '1 minute', priority := -5"), ("2", "priority := 5")]
    {
        sandbox.execute(&format!("select @engine@.add_job('{KIND}', '{payload}', max_attempts := 3, {rest})")).await;
    }
    sandbox.execute("select @engine@.add_job('other.v1', '{}')").await;
    let claims = store.claim(&request(10).wait(SOON)).await.unwrap();
    assert_eq!(claims.len(), 2, "{claims:?}");
    assert_eq!(claims[0].job.payload, b"{\"from\":\"node\"}", "its priority says so");
    assert_eq!((claims[0].job.max_attempts, &*claims[0].job.queue, claims[0].attempt), (3, "default", 1));
    assert_eq!(claims[0].job.retention, Retention::default());
    assert_eq!(complete(&store, &claims[0]).await, Settled::Accepted);
    assert_eq!(complete(&store, &claims[0]).await, Settled::LeaseLost);
    assert_eq!(store.job(claims[0].job.id).await.unwrap().unwrap().output.as_deref(), Some(&b"1"[..]));
    let again = Settlement::Returned;
    assert_eq!(store.settle(&[End::new(claims[1].lease, again)]).await.unwrap(), [Settled::Accepted]);
    let claim = take(&store).await;
    assert_eq!((claim.job.id, claim.attempt), (claims[1].job.id, 1), "the same id again");
    complete(&store, &claim).await;
    assert_eq!(sandbox.number("select count(*) from @engine@._private_jobs").await, 1, "the other kind is left alone");
}

#[tokio::test]
async fn a_queue_of_the_engine_runs_one_at_a_time() {
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.store().await;
    for _ in 0..3 {
        sandbox.execute(&format!("select @engine@.add_job('{KIND}', '{{}}', queue_name := 'serial')")).await;
    }
    for left in [2, 1, 0] {
        let claims = store.claim(&request(10).wait(SOON)).await.unwrap();
        assert_eq!(claims.len(), 1, "{claims:?}");
        assert!(store.claim(&request(10)).await.unwrap().is_empty());
        let locked = "select count(*) from @engine@._private_job_queues where locked_by is not null";
        assert_eq!(sandbox.number(locked).await, 1, "other workers of the engine see it");
        complete(&store, &claims[0]).await;
        assert_eq!(sandbox.number(locked).await, 0);
        assert_eq!(sandbox.number("select count(*) from @engine@._private_jobs").await, left);
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Bare {
    n: u32,
}

impl TaskHandler for Bare {
    const IDENTIFIER: &'static str = KIND;

    async fn run(self, _: WorkerContext) -> impl IntoTaskHandlerResult {
        if self.n == 1 { Ok(()) } else { Err("no".to_owned()) }
    }
}

#[tokio::test]
async fn the_engines_own_worker_sees_and_does_our_jobs() {
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.store().await;
    let done = store.enqueue(vec![job()]).await.unwrap()[0].id();
    let next = store.enqueue(vec![job().depends_on([done])]).await.unwrap()[0].id();
    let fails = NewJob::new(KIND, b"{\"n\":2}".to_vec()).max_attempts(1);
    let fails = store.enqueue(vec![fails]).await.unwrap()[0].id();
    let seen = format!("select count(*) from @engine@.jobs where task_identifier = '{KIND}' and run_at <= now()");
    assert_eq!(sandbox.number(&seen).await, 2, "the dependent one hides until its time");
    let worker = WorkerOptions::default().database_url(&sandbox.url).schema(&sandbox.engine).concurrency(2);
    let worker = worker.define_job::<Bare>().init().await.unwrap();
    worker.run_once().await.unwrap();
    store.maintain().await.unwrap();
    assert_eq!(state(&store, done).await, Some(JobState::Completed));
    let failed = store.job(fails).await.unwrap().unwrap();
    assert_eq!(failed.state, JobState::Failed);
    assert!(failed.failure.unwrap().message.contains("no"));
    let claim = take(&store).await;
    assert_eq!(claim.job.id, next, "what waited for it begins");
    complete(&store, &claim).await;
    // A worker of the engine that has a job has it alone.
    let held = store.enqueue(vec![job()]).await.unwrap()[0].id();
    sandbox
        .execute("update @engine@._private_jobs set locked_by = 'node', locked_at = now() where locked_at is null")
        .await;
    assert!(store.claim(&request(1)).await.unwrap().is_empty());
    assert_eq!(state(&store, held).await, Some(JobState::Pending));
}

#[tokio::test]
async fn who_lost_the_engines_row_lost_the_lease() {
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.store().await;
    store.enqueue(vec![job(), job()]).await.unwrap();
    let (one, two) = (take(&store).await, take(&store).await);
    sandbox.execute("update @engine@._private_jobs set locked_by = 'node'").await;
    assert_eq!(complete(&store, &one).await, Settled::LeaseLost);
    assert_eq!(store.settle(&[End::new(two.lease, Settlement::Returned)]).await.unwrap(), [Settled::LeaseLost]);
}

#[tokio::test]
async fn producers_without_rust_submit_by_sql() {
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.store().await;
    sandbox.execute(&format!("select @side@.submit('{KIND}', '{{\"image\":1}}')")).await;
    let claim = take(&store).await;
    assert_eq!(claim.job.payload, b"{\"image\":1}");
    complete(&store, &claim).await;
}

#[tokio::test]
async fn payloads_that_are_no_json_come_back_as_they_were() {
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.store().await;
    for payload in [&b"\xff\x00\x01"[..], b"", b"not json", b"\"\\u0000\"", b" [1 , 2.50e3] "] {
        let id = store.enqueue(vec![NewJob::new(KIND, payload.to_vec())]).await.unwrap()[0].id();
        let claim = take(&store).await;
        assert_eq!((claim.job.id, &*claim.job.payload), (id, payload));
        complete(&store, &claim).await;
        assert_eq!(store.job(id).await.unwrap().unwrap().job.payload, payload);
    }
}

#[tokio::test]
async fn two_sweepers_take_a_lease_back_once() {
    let Some(sandbox) = Sandbox::new() else { return };
    let (one, two) = (sandbox.store().await, sandbox.store().await);
    let ids: Vec<_> = one.enqueue((0..50).map(|_| job()).collect()).await.unwrap();
    let brief = ClaimRequest::new("dead", [KIND], 50, Duration::from_millis(200));
    assert_eq!(one.claim(&brief).await.unwrap().len(), 50);
    sleep(Duration::from_millis(300)).await;
    let mut rescued = 0;
    let began = Instant::now();
    while rescued < 50 && began.elapsed() < SOON {
        let (a, b) = tokio::join!(one.maintain(), two.maintain());
        rescued += a.unwrap().rescued + b.unwrap().rescued;
    }
    assert_eq!(rescued, 50);
    assert_eq!(one.maintain().await.unwrap().rescued, 0);
    let claims = two.claim(&request(100)).await.unwrap();
    assert_eq!(claims.len(), ids.len());
    assert!(claims.iter().all(|claim| claim.attempt == 2));
}

#[tokio::test]
async fn other_processes_hear_of_it() {
    let Some(sandbox) = Sandbox::new() else { return };
    // Two stores share nothing but the server.
    let (here, there) = (sandbox.store().await, sandbox.store().await);
    let listening = "select count(*) from @side@.listeners";
    let began = Instant::now();
    while sandbox.number(listening).await < 2 && began.elapsed() < SOON {
        sleep(Duration::from_millis(20)).await;
    }
    let mut signals = there.signals();
    let id = here.enqueue(vec![job()]).await.unwrap()[0].id();
    let claim = take(&here).await;
    let progress = JobProgress::new(1, 1, b"0.5".to_vec());
    let info = WorkerInfo::new("worker-1", "host", 1, std::time::UNIX_EPOCH);
    here.beat(&Beat::new(info, TERM).progress(vec![(claim.lease, progress)])).await.unwrap();
    assert_eq!(there.cancel(id, "enough").await.unwrap(), JobState::Running);
    complete(&here, &claim).await;
    for expected in [Signal::Progress(id), Signal::Cancel(id), Signal::Ended(id)] {
        let heard = async { while signals.recv().await.unwrap() != expected {} };
        timeout(Duration::from_secs(1), heard).await.unwrap();
    }
    let patient = request(1).wait(SOON);
    let (claims, began) = tokio::join!(there.claim(&patient), async {
        sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        here.enqueue(vec![job()]).await.unwrap();
        began
    });
    assert_eq!(claims.unwrap().len(), 1);
    assert!(began.elapsed() < Duration::from_millis(500), "it did not wait for the poll");
}

#[tokio::test]
async fn a_store_without_listeners_polls() {
    let Some(sandbox) = Sandbox::new() else { return };
    let listens_in_vain = sandbox.url.replace(":55432/", ":1/");
    let store = sandbox.builder().listen_url(listens_in_vain).poll(Duration::from_millis(100)).connect().await.unwrap();
    let other = sandbox.store().await;
    let patient = request(1).wait(SOON);
    let (claims, _) = tokio::join!(store.claim(&patient), async {
        sleep(Duration::from_millis(300)).await;
        other.enqueue(vec![job()]).await.unwrap()
    });
    assert_eq!(claims.unwrap().len(), 1);
}

#[tokio::test]
async fn bad_settings_are_refused_by_name() {
    for (field, builder) in [
        ("url", PostgresStore::builder("mysql://root:hunter2@localhost/db")),
        ("url", PostgresStore::builder("postgres://root:hunter2@localhost:99999999/db")),
        ("listen_url", PostgresStore::builder("postgres://localhost/db").listen_url("nowhere:hunter2")),
        ("schema", PostgresStore::builder("postgres://localhost/db").schema("a; drop table x")),
        ("schema", PostgresStore::builder("postgres://localhost/db").schema("graphile_worker")),
        ("engine_schema", PostgresStore::builder("postgres://localhost/db").engine_schema("9lives")),
        ("max_connections", PostgresStore::builder("postgres://localhost/db").max_connections(0)),
        ("poll", PostgresStore::builder("postgres://localhost/db").poll(Duration::ZERO)),
    ] {
        assert!(!format!("{builder:?}").contains("hunter2"));
        let error = builder.connect().await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { field: named, .. } if named == field), "{field}: {error:?}");
        assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    }
    let nobody =
        PostgresStore::builder("postgres://root:hunter2@127.0.0.1:1/db").connect_timeout(Duration::from_millis(300));
    let error = nobody.connect().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn bad_jobs_are_refused_and_others_are_not() {
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.store().await;
    let long = NewJob::new("k".repeat(200), b"1".to_vec());
    let error = store.enqueue(vec![job(), long]).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid { field: "kind", .. }), "the engine's limit: {error:?}");
    assert_eq!(store.stats().await.unwrap().unfinished(), 0);
    let again = job();
    let answers = tokio::join!(store.enqueue(vec![again.clone()]), store.enqueue(vec![again.clone()]));
    let answers = [answers.0.unwrap()[0], answers.1.unwrap()[0]];
    assert!(
        answers.contains(&Enqueued::New(again.id)) && answers.contains(&Enqueued::Duplicate(again.id)),
        "{answers:?}"
    );
}

#[tokio::test]
async fn schemas_of_another_version_or_role_are_refused() {
    let Some(sandbox) = Sandbox::new() else { return };
    let missing = sandbox.builder().without_migration().connect().await.unwrap_err();
    assert!(matches!(missing, StoreError::Invalid { field: "schema", .. }), "{missing:?}");
    // Any number may make them at a time.
    let (a, b, c) = tokio::join!(sandbox.builder().migrate(), sandbox.builder().migrate(), sandbox.builder().connect());
    a.unwrap();
    b.unwrap();
    c.unwrap().close().await;
    sandbox.builder().without_migration().connect().await.unwrap();
    let role = format!("role_{}", &sandbox.schema[3..20]);
    sandbox.execute(&format!("create role {role} login")).await;
    let url = sandbox.url.replace("postgres@", &format!("{role}@"));
    let poor = PostgresStore::builder(url).schema(&sandbox.schema).engine_schema(&sandbox.engine);
    let error = poor.connect().await.unwrap_err();
    sandbox.execute(&format!("drop role {role}")).await;
    assert!(matches!(&error, StoreError::Backend { transient: false, .. }), "{error:?}");
    sandbox.execute("update @side@.meta set version = 99").await;
    let error = sandbox.builder().connect().await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid { field: "schema version", .. }), "{error:?}");
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.store().await;
    store.close().await;
    store.close().await;
    assert!(matches!(store.enqueue(vec![job()]).await, Err(StoreError::Closed)));
    assert!(matches!(store.claim(&request(1)).await, Err(StoreError::Closed)));
    assert!(!format!("{store:?}").contains("127.0.0.1"));
}

#[tokio::test]
async fn claims_that_nobody_waits_for_go_back() {
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.store().await;
    store.enqueue((0..20).map(|_| job()).collect()).await.unwrap();
    let mut claims = Vec::new();
    for _ in 0..20 {
        // Dropped while the server works, unless that was quicker: then the claims are ours.
        if let Ok(quick) = timeout(Duration::from_micros(300), store.claim(&request(20))).await {
            claims.extend(quick.unwrap());
        }
    }
    let began = Instant::now();
    while claims.len() < 20 && began.elapsed() < SOON {
        claims.extend(store.claim(&request(20)).await.unwrap());
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(claims.len(), 20, "none waits for a lease to end");
    assert!(claims.iter().all(|claim| claim.attempt == 1));
}

/// Plans that were made while nothing was there must do for a backlog, too.
#[tokio::test]
async fn who_began_with_empty_tables_does_not_look_at_all_rows() {
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.builder().max_connections(1).connect().await.unwrap();
    // The kind is known, and nothing is left of it.
    store.enqueue(vec![job()]).await.unwrap();
    let claim = take(&store).await;
    assert_eq!(complete(&store, &claim).await, Settled::Accepted);
    sandbox.execute("truncate @side@.jobs; truncate @engine@._private_jobs cascade").await;
    sandbox.execute("analyze @side@.jobs; analyze @engine@._private_jobs").await;
    assert!(store.claim(&request(20)).await.unwrap().is_empty());
    assert_eq!(complete(&store, &claim).await, Settled::LeaseLost);
    for _ in 0..5 {
        store.enqueue((0..1_000).map(|_| job()).collect()).await.unwrap();
    }
    let claims = store.claim(&request(20)).await.unwrap();
    let ends: Vec<End> =
        claims.iter().map(|claim| End::new(claim.lease, Settlement::Completed(b"1".to_vec()))).collect();
    assert_eq!(store.settle(&ends).await.unwrap(), vec![Settled::Accepted; 20]);
    // A connection tells what it counted when it ends, which it does with the last handle.
    store.close().await;
    drop(store);
    let looked_at = "select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_user_tables \
        where schemaname in ('@side@', '@engine@') and relname in ('jobs', '_private_jobs')";
    let until = Instant::now() + SOON;
    let mut rows = sandbox.number(looked_at).await;
    while rows < 40 && Instant::now() < until {
        sleep(Duration::from_millis(20)).await;
        rows = sandbox.number(looked_at).await;
    }
    assert!((40..1_000).contains(&rows), "{rows} rows were looked at for 20 jobs");
}

#[tokio::test]
async fn an_end_that_meets_a_sign_of_life_is_taken() {
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.store().await;
    store.enqueue(vec![job()]).await.unwrap();
    let claim = take(&store).await;
    let mut other = sandbox.connection().await;
    let mut sign = other.begin().await.unwrap();
    let moves = sandbox
        .sql("update @side@.jobs set lease = lease + 1000000; update @engine@._private_jobs set locked_at = now()");
    raw_sql(moves).execute(&mut *sign).await.unwrap();
    let end = tokio::spawn(async move { complete(&store, &claim).await });
    let waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%@side@.settle%'";
    while sandbox.number(waits).await == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    sign.commit().await.unwrap();
    assert_eq!(end.await.unwrap(), Settled::Accepted);
}

#[tokio::test]
async fn a_claim_does_not_wait_for_a_row_that_somebody_holds() {
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.store().await;
    let ids: Vec<TaskId> = store.enqueue(vec![job(), job()]).await.unwrap().into_iter().map(Enqueued::id).collect();
    let mut other = sandbox.connection().await;
    let mut holds = other.begin().await.unwrap();
    let lock = sandbox.sql("select id from @engine@._private_jobs order by id limit 1 for update");
    raw_sql(lock).execute(&mut *holds).await.unwrap();
    let claims = timeout(SOON, store.claim(&request(2))).await.unwrap().unwrap();
    assert_eq!(claims.iter().map(|claim| claim.job.id).collect::<Vec<_>>(), ids.get(1..).unwrap());
    holds.rollback().await.unwrap();
}

/// What waits for the window of its key comes up one by one when that opens, not all at once, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_does_not_wake_the_whole_backlog() {
    const READY: &str = "select count(*) from @side@.jobs where place = 0";
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.store().await;
    let window = Duration::from_secs(3);
    let limited = || job().limit(KeyLimit::rate("host-1", Rate::new(2, window)));
    store.enqueue((0..1_000).map(|_| limited()).collect()).await.unwrap();
    let mut connection = sandbox.connection().await;
    let mut ready = async || query_as::<_, (i64,)>(sandbox.sql(READY)).fetch_one(&mut connection).await.unwrap().0;
    let request = request(10).wait(Duration::from_millis(500));
    assert_eq!(store.claim(&request).await.unwrap().len(), 2);
    assert!(store.claim(&request).await.unwrap().is_empty());
    assert_eq!(ready().await, 0, "all are out of the way");
    sleep(window).await;
    store.maintain().await.unwrap();
    assert_eq!(ready().await, 1);
    assert_eq!(store.claim(&request).await.unwrap().len(), 2, "the next follows the first");
    assert_eq!(ready().await, 0);
}

/// A long chain is taken in at once, and not by looking through all of it for each link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_chain_of_jobs_is_taken_in() {
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.store().await;
    let mut chain: Vec<NewJob> = vec![job()];
    for _ in 1..4_000 {
        let before = chain.last().map(|job| job.id);
        chain.push(job().depends_on(before));
    }
    let (first, last) = (chain[0].id, chain[3_999].id);
    let began = Instant::now();
    assert!(store.enqueue(chain).await.unwrap().iter().all(|answer| !answer.is_duplicate()));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(store.claim(&request(10)).await.unwrap().iter().map(|claim| claim.job.id).collect::<Vec<_>>(), [first]);
    assert_eq!(store.cancel(last, "no more").await.unwrap(), JobState::Cancelled);
}
