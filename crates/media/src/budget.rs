//! A reader that ends endless loops.
//!
//! A parser that seeks by what it reads may be led in circles: a box of size zero inside another sends one back to its own
//! header for ever, and neither a limit on sizes nor `catch_unwind` ends that. No honest file is read many times over, so
//! the reads themselves are counted, and once they are used up every further one fails.

use std::io::{Cursor, Error, Read, Result, Seek, SeekFrom};

/// Reads bytes from memory, as often as its budget allows.
#[derive(Debug)]
pub(crate) struct Budgeted<'a> {
    inner: Cursor<&'a [u8]>,
    reads_left: u64,
}

impl<'a> Budgeted<'a> {
    /// `read_bytes` is how many bytes there are to read once; each may be read alone, and some twice.
    pub(crate) fn new(bytes: &'a [u8], read_bytes: usize) -> Self {
        Self { inner: Cursor::new(bytes), reads_left: (read_bytes as u64).saturating_mul(4).saturating_add(10_000) }
    }

    fn spend(&mut self) -> Result<()> {
        self.reads_left =
            self.reads_left.checked_sub(1).ok_or_else(|| Error::other("the structure of the file runs in circles"))?;
        Ok(())
    }
}

impl Read for Budgeted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.spend()?;
        self.inner.read(buffer)
    }
}

impl Seek for Budgeted<'_> {
    fn seek(&mut self, position: SeekFrom) -> Result<u64> {
        // Asking for the position moves nothing.
        if !matches!(position, SeekFrom::Current(0)) {
            self.spend()?;
        }
        self.inner.seek(position)
    }
}

#[cfg(feature = "audio")]
impl symphonia::core::io::MediaSource for Budgeted<'_> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.inner.get_ref().len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_in_circles_comes_to_an_end() {
        let mut reader = Budgeted::new(&[7; 8], 8);
        let mut byte = [0];
        let mut rounds = 0_u32;
        while reader.read_exact(&mut byte).is_ok() && reader.seek(SeekFrom::Start(0)).is_ok() {
            rounds += 1;
        }
        assert_eq!(byte, [7]);
        assert_eq!(rounds, 10_032 / 2);
    }
}
