use std::cell::{Cell, RefCell};

use rusqlite::{Connection, OptionalExtension as _, Params, Row};

use crate::id::TaskId;
use crate::store::error::StoreError;
use crate::store::record::JobState;
use crate::store::signal::Signal;
use crate::store::sqlite::clock::Millis;
use crate::store::sqlite::connection::failed;
use crate::store::sqlite::row::number;

/// What one command sees and changes, within the transaction of its group.
pub(super) struct Apply<'a> {
    pub(super) connection: &'a Connection,
    pub(super) now: Millis,
    pub(super) age_after: Millis,
    pub(super) capacity: i64,
    /// How the number of jobs in each state changed.
    counts: RefCell<[i64; 5]>,
    signals: RefCell<Vec<Signal>>,
    /// Whether a job may have become ready.
    ready: Cell<bool>,
    rescued: Cell<Rescued>,
}

/// Jobs taken from dead workers: those that may be tried again, and those that failed.
pub(super) type Rescued = (u64, u64);

/// What a group of commands changed besides the tables.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) signals: Vec<Signal>,
    pub(super) ready: bool,
    pub(super) rescued: Rescued,
}

impl<'a> Apply<'a> {
    pub(super) const fn new(connection: &'a Connection, now: Millis, age_after: Millis, capacity: i64) -> Self {
        Self {
            connection,
            now,
            age_after,
            capacity,
            counts: RefCell::new([0; 5]),
            signals: RefCell::new(Vec::new()),
            ready: Cell::new(false),
            rescued: Cell::new((0, 0)),
        }
    }

    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| failed(&error))?;
        statement.execute(params).map_err(|error| failed(&error))
    }

    pub(super) fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| failed(&error))?;
        statement.query_row(params, read).optional().map_err(|error| failed(&error))
    }

    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| failed(&error))?;
        let rows = statement.query_map(params, read).map_err(|error| failed(&error))?;
        rows.collect::<rusqlite::Result<Vec<T>>>().map_err(|error| failed(&error))
    }

    /// Notes that a job went from one state to another; `None` for what is not there.
    pub(super) fn moved(&self, from: Option<JobState>, to: Option<JobState>) {
        let mut counts = self.counts.borrow_mut();
        for (state, by) in [(from, -1), (to, 1)] {
            let place = state.and_then(|state| usize::try_from(number(state)).ok());
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count += by;
            }
        }
    }

    /// How many jobs are in this state, with what this group has changed.
    pub(super) fn count(&self, state: JobState) -> Result<i64, StoreError> {
        let known = self.one("select number from counts where state = ?1", [number(state)], |row| row.get(0))?;
        let place = usize::try_from(number(state)).unwrap_or(0);
        Ok(known.unwrap_or(0) + self.counts.borrow().get(place).copied().unwrap_or(0))
    }

    pub(super) fn ended(&self, id: TaskId) {
        self.signals.borrow_mut().push(Signal::Ended(id));
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.signals.borrow_mut().push(signal);
    }

    pub(super) fn made_ready(&self) {
        self.ready.set(true);
    }

    /// Counts a job taken from a dead worker.
    pub(super) fn rescued(&self, failed: bool) {
        let (again, lost) = self.rescued.get();
        self.rescued.set(if failed { (again, lost + 1) } else { (again + 1, lost) });
    }

    /// What there is to undo if the command fails: pairs with [`undo`](Self::undo).
    pub(super) fn mark(&self) -> Mark {
        Mark { counts: *self.counts.borrow(), signals: self.signals.borrow().len(), rescued: self.rescued.get() }
    }

    pub(super) fn undo(&self, mark: &Mark) {
        *self.counts.borrow_mut() = mark.counts;
        self.signals.borrow_mut().truncate(mark.signals);
        self.rescued.set(mark.rescued);
    }

    /// Writes the counts; the last of the transaction.
    pub(super) fn close(self) -> Result<Changes, StoreError> {
        for (state, by) in self.counts.borrow().iter().enumerate().filter(|(_, by)| **by != 0) {
            let state = i64::try_from(state).unwrap_or(0);
            self.execute("update counts set number = number + ?1 where state = ?2", [*by, state])?;
        }
        let rescued = self.rescued.get();
        Ok(Changes { signals: self.signals.into_inner(), ready: self.ready.into_inner(), rescued })
    }
}

/// How far a group was when a command began.
pub(super) struct Mark {
    counts: [i64; 5],
    signals: usize,
    rescued: Rescued,
}
