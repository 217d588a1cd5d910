use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bedplate_tasks::TaskId;

use crate::Fail;

/// The file in which all processes write what they do, each line at once.
#[derive(Debug)]
pub(crate) struct Diary(File);

/// One thing that happened.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) what: char,
    pub(crate) job: TaskId,
    pub(crate) pid: u32,
    /// Milliseconds since 1970; all processes share the machine's clock.
    pub(crate) at: u64,
    pub(crate) note: String,
}

/// An attempt began.
pub(crate) const STARTED: char = 'S';
/// An attempt's work was done: the side effect.
pub(crate) const DONE: char = 'E';
/// The store accepted that a job completed.
pub(crate) const ACCEPTED: char = 'A';
/// A worker heard that its lease was lost.
pub(crate) const LOST: char = 'L';
/// A worker was told to stop.
pub(crate) const TOLD: char = 'T';
/// A producer was told that a job is in the store.
pub(crate) const PUT: char = 'P';

impl Diary {
    pub(crate) fn open(path: &Path) -> Result<Self, Fail> {
        Ok(Self(OpenOptions::new().create(true).append(true).open(path)?))
    }

    pub(crate) fn write(&self, what: char, job: TaskId, note: &str) {
        let line = format!("{what} {job} {} {} {note}\n", std::process::id(), now_ms());
        // One write, appended whole: the lines of several processes do not mix.
        if (&self.0).write_all(line.as_bytes()).is_err() {
            std::process::abort();
        }
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<Entry>, Fail> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut entries = Vec::new();
    for line in text.lines() {
        let mut words = line.splitn(5, ' ');
        let mut word = || words.next().ok_or_else(|| format!("line {line:?} of the diary is cut"));
        let what = word()?.chars().next().unwrap_or('?');
        let (job, pid, at) = (word()?.parse()?, word()?.parse()?, word()?.parse()?);
        entries.push(Entry { what, job, pid, at, note: word()?.to_owned() });
    }
    Ok(entries)
}

/// How many entries of one kind each job has.
pub(crate) fn count(entries: &[Entry], what: char) -> HashMap<TaskId, usize> {
    let mut counts = HashMap::new();
    for entry in entries.iter().filter(|entry| entry.what == what) {
        *counts.entry(entry.job).or_default() += 1;
    }
    counts
}

/// The highest attempt that each job's entries of one kind name.
pub(crate) fn latest(entries: &[Entry], what: char) -> HashMap<TaskId, u32> {
    let mut latest = HashMap::new();
    for entry in entries.iter().filter(|entry| entry.what == what) {
        let attempt = entry.note.parse().unwrap_or(0);
        let known: &mut u32 = latest.entry(entry.job).or_default();
        *known = attempt.max(*known);
    }
    latest
}

pub(crate) fn now_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "several processes share the machine's clock")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
