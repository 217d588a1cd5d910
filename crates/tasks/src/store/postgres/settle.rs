use uuid::Uuid;

use crate::id::TaskId;
use crate::store::claim::{Beat, End, LeaseState, Settled, Settlement};
use crate::store::error::StoreError;
use crate::store::postgres::NAME;
use crate::store::postgres::arrays::{fence, micros, text};
use crate::store::postgres::failure::failed;
use crate::store::postgres::link::Link;
use crate::store::record::Failure;
use crate::store::signal::Signal;

/// Ends column by column.
#[derive(Debug, Default)]
pub(super) struct Ends {
    ids: Vec<Uuid>,
    fences: Vec<i64>,
    hows: Vec<i16>,
    outputs: Vec<Option<Vec<u8>>>,
    failures: Vec<Option<String>>,
    texts: Vec<Option<String>>,
    afters: Vec<i64>,
}

impl Ends {
    pub(super) fn new(ends: &[End]) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        for end in ends {
            columns.ids.push(end.lease.job.as_uuid());
            columns.fences.push(fence(end.lease.fence));
            let (mut output, mut failure, mut said, mut after) = (None, None, None, 0);
            let how = match &end.settlement {
                Settlement::Completed(value) => {
                    output = Some(value.clone());
                    0
                }
                Settlement::Retry { failure: how, after: wait } => {
                    (failure, said, after) = (Some(json(how)?), Some(text(&how.message).into_owned()), micros(*wait));
                    1
                }
                Settlement::Failed(how) => {
                    (failure, said) = (Some(json(how)?), Some(text(&how.message).into_owned()));
                    2
                }
                Settlement::Cancelled(reason) => {
                    said = Some(text(reason).into_owned());
                    3
                }
                Settlement::Snoozed(wait) => {
                    after = micros(*wait);
                    4
                }
                Settlement::Returned => 5,
            };
            columns.hows.push(how);
            columns.outputs.push(output);
            columns.failures.push(failure);
            columns.texts.push(said);
            columns.afters.push(after);
        }
        Ok(columns)
    }

    pub(super) async fn settle(&self, link: &Link) -> Result<Vec<Settled>, StoreError> {
        let mut answers = vec![Settled::LeaseLost; self.ids.len()];
        if answers.is_empty() {
            return Ok(answers);
        }
        let sql = "select what, o_ord, o_id from @side@.settle($1, $2, $3, $4, $5, $6, $7, $8)";
        let mut unsure = false;
        let rows: Vec<(i16, i32, Option<Uuid>)> = link
            .repeat(|broken| {
                unsure = broken;
                sqlx::query_as(link.sql(sql))
                    .bind(&self.ids)
                    .bind(&self.fences)
                    .bind(&self.hows)
                    .bind(&self.outputs)
                    .bind(&self.failures)
                    .bind(&self.texts)
                    .bind(&self.afters)
                    .bind(&*link.me)
                    .fetch_all(&link.pool)
            })
            .await?;
        let mut ready = false;
        for (what, number, id) in rows {
            match what {
                1 => self.accept(&mut answers, number),
                2 => link.tell_ended(id),
                _ => ready = true,
            }
        }
        if unsure {
            for number in self.taken_before(link).await? {
                self.accept(&mut answers, number);
            }
        }
        for ((id, how), answer) in self.ids.iter().zip(&self.hows).zip(&answers) {
            // A retry may have been the last one: whoever hears of it reads the record.
            if *answer == Settled::Accepted && *how < 4 {
                link.tell_ended([*id]);
            }
        }
        if ready {
            link.wake();
        }
        Ok(answers)
    }

    fn accept(&self, answers: &mut [Settled], number: i32) {
        debug_assert_eq!(answers.len(), self.ids.len(), "each end has an answer");
        let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        if let Some(answer) = at.and_then(|at| answers.get_mut(at)) {
            *answer = Settled::Accepted;
        }
    }

    /// Of an earlier call whose answer was lost: what is done under this very claim was taken.
    async fn taken_before(&self, link: &Link) -> Result<Vec<i32>, StoreError> {
        let sql = link.sql(
            "select min(u.ord)::int from unnest($1::uuid[], $2::bigint[], $3::smallint[]) with ordinality as u(id, fence, how, ord) \
             join @side@.jobs s on s.id = u.id and s.fence = u.fence \
             where (u.how = 0 and s.state = 2) or (u.how in (1, 2) and s.state = 3) or (u.how = 3 and s.state = 4) group by u.id",
        );
        let query = sqlx::query_as(sql).bind(&self.ids).bind(&self.fences).bind(&self.hows);
        let rows: Vec<(i32,)> = query.fetch_all(&link.pool).await.map_err(failed)?;
        Ok(rows.into_iter().map(|(number,)| number).collect())
    }
}

fn json(failure: &Failure) -> Result<String, StoreError> {
    serde_json::to_string(failure).map_err(|error| StoreError::backend(NAME, false, error))
}

pub(super) async fn beat(link: &Link, beat: &Beat) -> Result<Vec<LeaseState>, StoreError> {
    let info = serde_json::to_string(&beat.worker).map_err(|error| StoreError::backend(NAME, false, error))?;
    let ids: Vec<Uuid> = beat.leases.iter().map(|lease| lease.job.as_uuid()).collect();
    let fences: Vec<i64> = beat.leases.iter().map(|lease| fence(lease.fence)).collect();
    let reported: Vec<Uuid> = beat.progress.iter().map(|(lease, _)| lease.job.as_uuid()).collect();
    let report_fences: Vec<i64> = beat.progress.iter().map(|(lease, _)| fence(lease.fence)).collect();
    let reports: Vec<&[u8]> = beat.progress.iter().map(|(_, progress)| &*progress.value).collect();
    let attempts: Vec<i32> =
        beat.progress.iter().map(|(_, progress)| i32::try_from(progress.attempt).unwrap_or(i32::MAX)).collect();
    let numbers: Vec<i64> =
        beat.progress.iter().map(|(_, progress)| i64::try_from(progress.number).unwrap_or(i64::MAX)).collect();
    let sql = "select what, o_ord, o_id, o_cancel from @side@.beat($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let worker = text(&beat.worker.id);
    let rows: Vec<(i16, i32, Option<Uuid>, Option<String>)> = link
        .repeat(|_| {
            sqlx::query_as(link.sql(sql))
                .bind(&*worker)
                .bind(&info)
                .bind(&ids)
                .bind(&fences)
                .bind(micros(beat.term))
                .bind(&reported)
                .bind(&report_fences)
                .bind(&reports)
                .bind(&attempts)
                .bind(&numbers)
                .bind(&*link.me)
                .fetch_all(&link.pool)
        })
        .await?;
    let mut states = vec![LeaseState::Lost; ids.len()];
    for (what, number, id, cancel) in rows {
        if what == 2 {
            if let Some(id) = id {
                link.tell(Signal::Progress(TaskId::from_uuid(id)));
            }
            continue;
        }
        let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        if let Some(state) = at.and_then(|at| states.get_mut(at)) {
            *state = cancel.map_or(LeaseState::Held, LeaseState::CancelRequested);
        }
    }
    Ok(states)
}
