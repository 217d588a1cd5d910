//! Writes a snapshot.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{END, FOREVER, MAGIC, VERSION, chained, sum_of};

/// One entry on its way to a file.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SnapshotRecord<'a> {
    /// The key, as the codec wrote it.
    pub key: &'a [u8],
    /// The value, likewise.
    pub value: &'a [u8],
    /// How long it lives on; `None` without end.
    pub remaining: Option<Duration>,
    /// Its tags.
    pub tags: &'a [&'a str],
}

impl<'a> SnapshotRecord<'a> {
    /// Describes an entry without end and without tags.
    pub const fn new(key: &'a [u8], value: &'a [u8]) -> Self {
        Self { key, value, remaining: None, tags: &[] }
    }

    /// Sets how long it lives on.
    #[must_use]
    pub const fn remaining(mut self, remaining: Option<Duration>) -> Self {
        self.remaining = remaining;
        self
    }

    /// Sets its tags.
    #[must_use]
    pub const fn tags(mut self, tags: &'a [&'a str]) -> Self {
        self.tags = tags;
        self
    }
}

/// Writes a snapshot entry by entry; dropped before [`finish`](Self::finish), it leaves no trace.
#[derive(Debug)]
pub struct SnapshotWriter {
    file: Option<BufWriter<File>>,
    temporary: PathBuf,
    target: PathBuf,
    sums: u64,
    count: u64,
    buffer: Vec<u8>,
}

impl SnapshotWriter {
    /// Begins a snapshot that is to take the place of a file, at this wall-clock time in milliseconds
    /// since 1970. One process at a time may write to a path.
    ///
    /// # Errors
    ///
    /// The error of the file system.
    pub fn create(path: impl Into<PathBuf>, written_at: u64) -> io::Result<Self> {
        let target = path.into();
        let mut name = target.file_name().map_or_else(OsString::new, OsString::from);
        name.push(".writing");
        let temporary = target.with_file_name(name);
        let mut file = BufWriter::new(File::create(&temporary)?);
        file.write_all(&MAGIC)?;
        file.write_all(&[VERSION, 0, 0, 0])?;
        file.write_all(&written_at.to_be_bytes())?;
        Ok(Self { file: Some(file), temporary, target, sums: 0, count: 0, buffer: Vec::new() })
    }

    /// Adds an entry; the hottest come first.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for an entry that the format cannot hold: it is left out, and the
    /// next may follow. Any other is the error of the file system, and the snapshot is lost.
    pub fn push(&mut self, record: SnapshotRecord<'_>) -> io::Result<()> {
        self.buffer.clear();
        let buffer = &mut self.buffer;
        // The length follows once it is known.
        buffer.extend_from_slice(&[0; 4]);
        buffer.extend_from_slice(&fits::<u32>(record.key.len())?.to_be_bytes());
        buffer.extend_from_slice(&fits::<u32>(record.value.len())?.to_be_bytes());
        let remaining = record.remaining.and_then(|left| u64::try_from(left.as_millis()).ok()).unwrap_or(FOREVER);
        buffer.extend_from_slice(&remaining.to_be_bytes());
        buffer.extend_from_slice(&fits::<u16>(record.tags.len())?.to_be_bytes());
        for tag in record.tags {
            buffer.extend_from_slice(&fits::<u16>(tag.len())?.to_be_bytes());
            buffer.extend_from_slice(tag.as_bytes());
        }
        buffer.extend_from_slice(record.key);
        buffer.extend_from_slice(record.value);
        let length = fits::<u32>(buffer.len() - 4)?;
        if length == END {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let Some((place, body)) = buffer.split_first_chunk_mut::<4>() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        *place = length.to_be_bytes();
        let sum = sum_of(body, u64::from(length));
        buffer.extend_from_slice(&sum.to_be_bytes());
        self.sums = chained(self.sums, sum);
        self.count += 1;
        match &mut self.file {
            Some(file) => file.write_all(&self.buffer),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Ends the snapshot and puts it in its place; returns how many entries it holds.
    ///
    /// # Errors
    ///
    /// The error of the file system; the file that was there before still is.
    pub fn finish(mut self) -> io::Result<u64> {
        let Some(mut file) = self.file.take() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let written = (|| {
            file.write_all(&END.to_be_bytes())?;
            file.write_all(&self.count.to_be_bytes())?;
            file.write_all(&self.sums.to_be_bytes())?;
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            // Before the rename, or a power cut could leave the new name on an empty file.
            file.sync_all()?;
            fs::rename(&self.temporary, &self.target)
        })();
        if written.is_err() {
            drop(fs::remove_file(&self.temporary));
        }
        written?;
        sync_folder(&self.target);
        Ok(self.count)
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            drop(fs::remove_file(&self.temporary));
        }
    }
}

/// Writes a whole snapshot; entries that the format cannot hold are left out. Returns how many it holds
/// and how many were left out.
///
/// It blocks: call it from a blocking thread.
///
/// # Errors
///
/// The error of the file system; the file that was there before still is.
///
/// # Examples
///
/// ```
/// use bedplate_cache::snapshot::{SnapshotReader, SnapshotRecord, write_snapshot};
///
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("pages.snapshot");
/// let (written, _) = write_snapshot(&path, 0, [SnapshotRecord::new(b"/about", b"<h1>About</h1>")])?;
/// assert_eq!(written, 1);
///
/// let mut reader = SnapshotReader::open(&path)?;
/// let entry = reader.next_entry()?.ok_or("one entry")?;
/// assert_eq!(entry.key, b"/about");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[expect(single_use_lifetimes, reason = "an anonymous one cannot stand in `impl Trait` yet")]
pub fn write_snapshot<'a>(
    path: impl Into<PathBuf>,
    written_at: u64,
    records: impl IntoIterator<Item = SnapshotRecord<'a>>,
) -> io::Result<(u64, u64)> {
    let mut writer = SnapshotWriter::create(path, written_at)?;
    let mut left_out = 0;
    for record in records {
        match writer.push(record) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => left_out += 1,
            pushed => pushed?,
        }
    }
    Ok((writer.finish()?, left_out))
}

/// The name itself is in the folder; a system that cannot sync one has no better way.
fn sync_folder(of: &Path) {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    drop(File::open(folder).and_then(|folder| folder.sync_all()));
}

fn fits<N: TryFrom<usize>>(length: usize) -> io::Result<N> {
    N::try_from(length).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "entry does not fit the format"))
}
