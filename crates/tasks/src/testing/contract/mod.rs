//! What every [`Store`] must do, as functions that panic where one does not.
//!
//! Each takes an empty store of its own. [`store_contract!`](crate::store_contract) makes a test of each. They run in
//! real time, since most stores have a clock of their own; none needs longer than some seconds. What a store says it
//! cannot do it must refuse, and that is checked instead.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "panicking is how a contract fails")]
#![expect(clippy::missing_panics_doc, reason = "each of these functions panics if the store breaks the contract")]

mod bad_input;
mod control;
mod dependencies;
mod leases;
mod life;
mod limits;
mod model;
mod order;
mod unique;

pub use bad_input::*;
pub use control::*;
pub use dependencies::*;
pub use leases::*;
pub use life::*;
pub use limits::*;
pub use model::*;
pub use order::*;
pub use unique::*;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::id::TaskId;
use crate::store::{
    Beat, Claim, ClaimRequest, End, JobRecord, LeaseState, NewJob, Settled, Settlement, Store, StoreError, WorkerInfo,
};

/// A store to test.
pub type Subject = Arc<dyn Store>;

const MS: Duration = Duration::from_millis(1);
/// A lease that does not end within a case.
const TERM: Duration = Duration::from_mins(1);
/// A lease whose end a case waits for.
const SHORT: Duration = Duration::from_millis(800);
/// Within this time a store must have noticed what it can see.
const SOON: Duration = Duration::from_secs(5);

const KIND: &str = "contract.v1";

fn job() -> NewJob {
    NewJob::new(KIND, b"{\"n\":1}".to_vec())
}

fn request(most: usize) -> ClaimRequest {
    ClaimRequest::new("worker-1", [KIND], most, TERM).wait(50 * MS)
}

fn short(most: usize) -> ClaimRequest {
    ClaimRequest::new("worker-1", [KIND], most, SHORT).wait(50 * MS)
}

async fn put(store: &Subject, job: NewJob) -> TaskId {
    let answers = store.enqueue(vec![job]).await.unwrap();
    assert_eq!(answers.len(), 1);
    assert!(!answers[0].is_duplicate(), "it is new");
    answers[0].id()
}

/// Claims one job that must be there.
async fn take(store: &Subject) -> Claim {
    take_by(store, &request(1)).await
}

async fn take_by(store: &Subject, request: &ClaimRequest) -> Claim {
    let began = Instant::now();
    loop {
        let mut claims = store.claim(request).await.unwrap();
        if let Some(claim) = claims.pop() {
            assert!(claims.is_empty(), "no more than were asked for");
            return claim;
        }
        assert!(began.elapsed() < SOON, "no job is given out");
        sleep(20 * MS).await;
    }
}

async fn nothing(store: &Subject) {
    let claims = store.claim(&request(10)).await.unwrap();
    assert!(claims.is_empty(), "nothing is to be given out, but {claims:?}");
}

async fn end(store: &Subject, claim: &Claim, settlement: Settlement) -> Settled {
    let answers = store.settle(&[End::new(claim.lease, settlement)]).await.unwrap();
    assert_eq!(answers.len(), 1);
    answers[0]
}

async fn complete(store: &Subject, claim: &Claim) {
    assert_eq!(end(store, claim, Settlement::Completed(b"null".to_vec())).await, Settled::Accepted);
}

async fn record(store: &Subject, id: TaskId) -> JobRecord {
    store.job(id).await.unwrap().unwrap()
}

fn info() -> WorkerInfo {
    WorkerInfo::new("worker-1", "host", 20, std::time::UNIX_EPOCH)
}

async fn beat(store: &Subject, claim: &Claim, term: Duration) -> LeaseState {
    let beat = Beat::new(info(), term).leases(vec![claim.lease]);
    let mut states = store.beat(&beat).await.unwrap();
    assert_eq!(states.len(), 1);
    states.remove(0)
}

/// Waits until `done` says so, sweeping meanwhile.
async fn eventually(store: &Subject, what: &str, mut done: impl AsyncFnMut(&Subject) -> bool) {
    let began = Instant::now();
    while !done(store).await {
        assert!(began.elapsed() < SOON, "{what}");
        store.maintain().await.unwrap();
        sleep(50 * MS).await;
    }
}

fn refused<T: std::fmt::Debug>(answer: &Result<T, StoreError>) {
    assert!(matches!(answer, Err(StoreError::Unsupported { .. })), "what a store cannot do it refuses: {answer:?}");
}

fn text(kind: &'static str) -> Cow<'static, str> {
    Cow::Borrowed(kind)
}

/// Makes a test of each case of the contract: `store_contract!(fresh)`, where `fresh` is an
/// `async fn() -> Option<Arc<dyn Store>>` that gives an empty store, or `None` where its server is not there.
#[macro_export]
macro_rules! store_contract {
    ($fresh:expr) => {
        $crate::store_contract!(@each $fresh;
            a_job_goes_through_its_life, retries_count_and_wait, returned_and_snoozed_cost_no_attempt,
            a_failure_for_good_is_a_dead_letter_and_can_be_replayed, what_goes_in_comes_out, a_delayed_job_waits,
            a_time_of_the_calendar_is_kept, a_waiting_claim_wakes_for_a_job, a_waiting_claim_ends_when_told, ended_jobs_are_forgotten,
            a_deadline_that_is_over_fails_the_job, signals_tell_of_ends_and_progress,
            an_expired_lease_goes_to_another_and_fences_the_first, a_beat_keeps_a_lease, a_rescued_job_keeps_its_place, every_rescue_is_told_once, a_lost_lease_does_not_hinder_the_held_one, a_poison_job_ends,
            an_end_after_the_lease_is_refused_before_any_sweep,
            progress_is_kept_and_fenced, a_settled_lease_is_over, many_workers_share_without_repeating,
            the_urgent_go_first_then_the_first, unknown_kinds_and_other_queues_are_left, no_more_than_asked_for,
            a_duplicate_gets_the_first_ones_id, scopes_of_unique_keys, a_unique_window_ends_and_outlives_the_job,
            an_idempotency_key_holds_whatever_becomes_of_the_job, a_replay_makes_no_second_one_of_a_key, duplicates_within_one_call,
            a_key_runs_so_many_at_a_time, a_key_is_free_when_the_next_one_does_not_begin, a_key_starts_so_many_per_time, a_window_is_not_waited_for_behind_a_place, a_backlog_of_a_key_holds_nobody_up, limits_hold_whoever_asks, a_queue_runs_so_many_at_a_time,
            a_queue_starts_so_many_per_time, a_waiting_claim_wakes_when_a_window_ends, a_queue_named_twice_gives_each_job_once, a_job_waits_for_all_that_it_depends_on, a_failure_cancels_what_depends, a_deadline_of_one_cancels_what_depends, a_dependency_on_a_duplicate_is_one_on_the_first,
            a_dependent_may_run_nevertheless, dependencies_that_are_over, a_replayed_dependent_is_given_out_once, an_unknown_dependency_is_refused_whole,
            cancel_ends_what_waits, cancel_asks_the_holder, cancel_races_completion, cancel_of_a_dead_holders_job,
            cancel_of_the_unknown_and_the_ended, a_paused_queue_gives_nothing, jobs_are_listed_in_pages,
            stats_count_what_there_is, workers_are_seen, bad_jobs_are_refused_by_name, random_sequences_agree_with_the_model,
        );
    };
    (@each $fresh:expr; $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(store) = $fresh().await {
                    $crate::testing::contract::$case(store).await;
                }
            }
        )*
    };
}
