//! One document in memory, and the guard before its engine.
//!
//! The engine (yrs) is the port of Yjs that every Yjs editor can talk to. It has no way to undo an update that turns
//! out bad halfway, so the replica keeps the log of what it has taken, compacted as it grows, and is rebuilt from it.
//! Rejected: to try each update on a scratch copy, which costs a copy of the document per key stroke.

mod guard;
mod offsets;
mod scan;

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use yrs::updates::decoder::Decode as _;
use yrs::updates::encoder::Encode as _;
use yrs::{
    Doc, GetString as _, OffsetKind, Options, ReadTxn as _, StateVector, Text as _, TextRef, Transact as _, Update,
    WriteTxn as _,
};

use crate::text_edit::{Step, TextEdit};
use crate::{CollaborationError, EditError};

use guard::Novelty;
use offsets::Widths;

/// A document that takes edits and foreign updates, and is never left half changed.
pub(crate) struct Replica {
    engine: Engine,
    log: Log,
}

struct Engine {
    doc: Doc,
    text: TextRef,
    /// The widths of the characters, if none has been added by others since they were counted.
    widths: Option<Widths>,
}

/// What the engine holds, as a snapshot and the updates since.
struct Log {
    root: String,
    snapshot: Option<Bytes>,
    updates: Vec<Bytes>,
    bytes: usize,
}

impl Replica {
    /// Makes an empty document whose shared text is named `root`.
    pub(crate) fn new(root: &str) -> Self {
        Self {
            engine: Engine::new(root),
            log: Log { root: root.to_owned(), snapshot: None, updates: Vec::new(), bytes: 0 },
        }
    }

    /// Takes a stored snapshot and updates, by the same way as foreign ones.
    pub(crate) fn restore(
        root: &str,
        stored: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Self, CollaborationError> {
        let mut replica = Self::new(root);
        for update in stored {
            replica.apply(update.as_ref())?;
        }
        Ok(replica)
    }

    pub(crate) fn text(&self) -> String {
        self.engine.read()
    }

    /// Returns the length of the log, a measure of the document's size.
    pub(crate) const fn bytes(&self) -> usize {
        self.log.bytes
    }

    /// Plans an edit by `plan` and makes it; `None` if it changes nothing. `admit` may refuse it by the bytes that it adds.
    pub(crate) fn edit<T>(
        &mut self,
        plan: impl FnOnce(&mut TextEdit<'_>) -> Result<T, EditError>,
        admit: impl FnOnce(usize) -> Result<(), CollaborationError>,
    ) -> Result<(T, Option<Bytes>), CollaborationError> {
        let mut widths = match self.engine.widths.take() {
            Some(widths) => widths,
            None => self.engine.count(),
        };
        let planned = {
            let engine = &self.engine;
            let read = || engine.read();
            let mut edit = TextEdit::new(widths.len(), &read);
            plan(&mut edit).map(|value| (value, edit.into_steps()))
        };
        let admitted = match planned {
            Ok((value, (steps, bytes))) => admit(bytes).map(|()| (value, steps)),
            Err(error) => Err(error.into()),
        };
        let (value, steps) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                self.engine.widths = Some(widths);
                return Err(error);
            }
        };
        if steps.is_empty() {
            self.engine.widths = Some(widths);
            return Ok((value, None));
        }
        let update = self.guarded("edit", |engine| Ok(Some(engine.make(&steps, &mut widths))))?;
        self.engine.widths = Some(widths);
        Ok((value, update))
    }

    /// Applies an update of another replica; returns what of it was new.
    pub(crate) fn apply(&mut self, update: &[u8]) -> Result<Option<Bytes>, CollaborationError> {
        let outline = scan::outline(update).map_err(|reason| CollaborationError::malformed("update", reason))?;
        let known = self.engine.known();
        let overlaps = match guard::check(&outline, &known)? {
            Novelty::Nothing => return Ok(None),
            Novelty::New => false,
            Novelty::Overlap => true,
        };
        self.guarded("update", |engine| {
            engine.widths = None;
            engine.integrate(update, overlaps)
        })
    }

    pub(crate) fn state_vector(&self) -> Bytes {
        self.engine.known().encode_v1().into()
    }

    /// Returns what a replica with this state vector lacks.
    pub(crate) fn diff(&self, state_vector: &[u8]) -> Result<Bytes, CollaborationError> {
        let clocks =
            scan::state_vector(state_vector).map_err(|reason| CollaborationError::malformed("state vector", reason))?;
        let ours = self.engine.known();
        let theirs = guard::common(&clocks, &ours);
        self.engine
            .encode(&theirs)
            .ok_or(CollaborationError::malformed("state vector", "it points into the middle of a change"))
    }

    /// Returns the whole document as one update.
    pub(crate) fn snapshot(&self) -> Bytes {
        self.engine.encode(&StateVector::default()).unwrap_or_else(|| {
            // Cannot be: every update was checked. The log says the same in more bytes.
            self.log.merged()
        })
    }

    /// Runs a change; if it fails halfway, the document is rebuilt as it was.
    fn guarded(
        &mut self,
        field: &'static str,
        change: impl FnOnce(&mut Engine) -> Result<Option<Vec<u8>>, &'static str>,
    ) -> Result<Option<Bytes>, CollaborationError> {
        let engine = &mut self.engine;
        let reason = match catch_unwind(AssertUnwindSafe(|| change(engine))) {
            Ok(Ok(None)) => return Ok(None),
            Ok(Ok(Some(update))) => {
                let update = Bytes::from(update);
                self.log.push(update.clone(), &self.engine);
                return Ok(Some(update));
            }
            Ok(Err(reason)) => reason,
            Err(_panic) => "the engine cannot take it",
        };
        self.engine = self.log.replay();
        Err(CollaborationError::malformed(field, reason))
    }
}

impl Engine {
    fn new(root: &str) -> Self {
        let options = Options { offset_kind: OffsetKind::Utf16, ..Options::default() };
        let doc = Doc::with_options(options);
        let text = doc.get_or_insert_text(root);
        Self { doc, text, widths: None }
    }

    fn known(&self) -> StateVector {
        self.doc.transact().state_vector()
    }

    fn read(&self) -> String {
        self.text.get_string(&self.doc.transact())
    }

    fn count(&self) -> Widths {
        offsets::count(&self.text, &self.doc.transact())
    }

    fn encode(&self, known: &StateVector) -> Option<Bytes> {
        catch_unwind(AssertUnwindSafe(|| self.doc.transact().encode_state_as_update_v1(known))).ok().map(Bytes::from)
    }

    fn make(&self, steps: &[Step], widths: &mut Widths) -> Vec<u8> {
        // Dropped unless it panics: then the engine is given up, and to run its clean-up could end the process.
        let mut transaction = ManuallyDrop::new(self.doc.transact_mut());
        for step in steps {
            match step {
                Step::Insert { at, text } => {
                    let at = widths.insert(*at, text);
                    self.text.insert(&mut transaction, at, text);
                }
                Step::Delete { at, len } => {
                    let (at, len) = widths.delete(*at, *len);
                    self.text.remove_range(&mut transaction, at, len);
                }
            }
        }
        finish(transaction)
    }

    fn integrate(&self, update: &[u8], overlaps: bool) -> Result<Option<Vec<u8>>, &'static str> {
        const UNREADABLE: &str = "the engine cannot read it";
        let decoded = if overlaps {
            let known = self.known().encode_v1();
            let new = yrs::diff_updates_v1(update, &known).map_err(|_| UNREADABLE)?;
            Update::decode_v1(&new)
        } else {
            Update::decode_v1(update)
        };
        let decoded = decoded.map_err(|_| UNREADABLE)?;
        let mut transaction = ManuallyDrop::new(self.doc.transact_mut());
        transaction.apply_update(decoded).map_err(|_| "it contradicts the document")?;
        if transaction.prune_pending().is_some() {
            return Err("its changes wait for one another");
        }
        if transaction.before_state() == &transaction.state_vector() && transaction.delete_set().is_empty() {
            drop(ManuallyDrop::into_inner(transaction));
            return Ok(None);
        }
        Ok(Some(finish(transaction)))
    }
}

/// Commits and returns the update that the transaction was.
fn finish(mut transaction: ManuallyDrop<yrs::TransactionMut<'_>>) -> Vec<u8> {
    transaction.commit();
    let update = transaction.encode_update_v1();
    drop(ManuallyDrop::into_inner(transaction));
    update
}

impl Log {
    fn push(&mut self, update: Bytes, engine: &Engine) {
        self.bytes = self.bytes.saturating_add(update.len());
        self.updates.push(update);
        // Compacted when it has doubled, so that the cost is spread over the bytes that came in.
        let snapshot = self.snapshot.as_ref().map_or(0, Bytes::len);
        if self.bytes - snapshot > snapshot.max(MIN_TAIL)
            && let Some(now) = engine.encode(&StateVector::default())
        {
            self.bytes = now.len();
            self.snapshot = Some(now);
            self.updates.clear();
        }
    }

    fn all(&self) -> impl Iterator<Item = &Bytes> {
        self.snapshot.iter().chain(&self.updates)
    }

    fn replay(&self) -> Engine {
        let engine = Engine::new(&self.root);
        for update in self.all() {
            // Each was taken before, in this order.
            let _new = engine.integrate(update, false);
        }
        engine
    }

    fn merged(&self) -> Bytes {
        yrs::merge_updates_v1(self.all()).unwrap_or_default().into()
    }
}

/// Below this many bytes a log is not worth compacting.
const MIN_TAIL: usize = 64 << 10;

#[cfg(test)]
mod tests;
