//! Reads the outline of an update, in the first encoding of Yjs, before the engine sees it.
//!
//! The engine reserves memory by the counts that the bytes claim, recurses as deep as they nest, and trusts what they
//! say of one another: a handful of hostile bytes cost it half a gigabyte, and some sequences end the process. Here
//! every count is checked against what is left, nesting is bounded, and what an update builds on is listed, so that
//! the caller refuses what the document cannot take. Catching panics alone would not do: a memory fault is no panic.

use serde_json::Value;

/// What an update says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outline {
    /// One entry per client that made changes.
    pub(super) clients: Vec<Blocks>,
    /// What the changes refer to: (referring client, its clock there, client, clock).
    pub(super) references: Vec<Reference>,
    /// The places that are deleted.
    pub(super) deletes: Vec<Span>,
}

/// The changes of one client: clocks from `start` to before `end`, of which `skips` are left out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    pub(super) client: u64,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) skips: Vec<Span>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) client: u64,
    pub(super) clock: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) client: u64,
    pub(super) start: u32,
    pub(super) end: u32,
}

type Scanned<T> = Result<T, &'static str>;

/// Reads the outline of a whole update.
pub(super) fn outline(update: &[u8]) -> Scanned<Outline> {
    let mut reader = Reader { rest: update };
    let mut outline = Outline::default();
    let clients = reader.count(4)?;
    for _ in 0..clients {
        let blocks = reader.blocks(&mut outline.references)?;
        if outline.clients.iter().any(|other| other.client == blocks.client) {
            return Err("a client is listed twice");
        }
        outline.clients.push(blocks);
    }
    let clients = reader.count(2)?;
    for _ in 0..clients {
        let client = reader.client()?;
        let ranges = reader.count(2)?;
        for _ in 0..ranges {
            let start = reader.u32()?;
            let end = advance(start, reader.u32()?)?;
            if start == end {
                return Err("a deleted range is empty");
            }
            outline.deletes.push(Span { client, start, end });
        }
    }
    reader.end()?;
    Ok(outline)
}

/// Reads a state vector.
pub(super) fn state_vector(bytes: &[u8]) -> Scanned<Vec<(u64, u32)>> {
    let mut reader = Reader { rest: bytes };
    let clients = reader.count(2)?;
    let mut clocks = Vec::with_capacity(clients);
    for _ in 0..clients {
        clocks.push((reader.client()?, reader.u32()?));
    }
    reader.end()?;
    Ok(clocks)
}

/// The engine computes with clocks as signed numbers.
const MAX_CLOCK: u32 = i32::MAX as u32;
const MAX_CLIENT: u64 = (1 << 53) - 1;
const MAX_DEPTH: usize = 64;

fn advance(clock: u32, len: u32) -> Scanned<u32> {
    clock.checked_add(len).filter(|end| *end <= MAX_CLOCK).ok_or("a clock is out of range")
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn u8(&mut self) -> Scanned<u8> {
        let (first, rest) = self.rest.split_first().ok_or(ENDS)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, len: usize) -> Scanned<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(ENDS)?;
        self.rest = rest;
        Ok(taken)
    }

    fn u64(&mut self) -> Scanned<u64> {
        let mut number = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.u8()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number is too long")
    }

    fn u32(&mut self) -> Scanned<u32> {
        u32::try_from(self.u64()?).map_err(|_| "a number is out of range")
    }

    /// Reads how many things follow, each of at least `least` bytes.
    fn count(&mut self, least: usize) -> Scanned<usize> {
        let count = usize::try_from(self.u64()?).map_err(|_| LONGER)?;
        if count > self.rest.len() / least {
            return Err(LONGER);
        }
        Ok(count)
    }

    fn client(&mut self) -> Scanned<u64> {
        let client = self.u64()?;
        if client > MAX_CLIENT { Err("a client id is out of range") } else { Ok(client) }
    }

    fn bytes(&mut self) -> Scanned<&'a [u8]> {
        let len = self.count(1)?;
        self.take(len)
    }

    fn str(&mut self) -> Scanned<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "a string is not UTF-8")
    }

    fn json(&mut self) -> Scanned<()> {
        serde_json::from_str::<Value>(self.str()?).map(drop).map_err(|_| "a value is not JSON")
    }

    fn end(&self) -> Scanned<()> {
        if self.rest.is_empty() { Ok(()) } else { Err("bytes follow its end") }
    }

    fn blocks(&mut self, references: &mut Vec<Reference>) -> Scanned<Blocks> {
        let count = self.count(2)?;
        let client = self.client()?;
        let start = self.u32()?;
        let mut blocks = Blocks { client, start, end: advance(start, 0)?, skips: Vec::new() };
        for _ in 0..count {
            self.block(&mut blocks, references)?;
        }
        Ok(blocks)
    }

    fn block(&mut self, blocks: &mut Blocks, references: &mut Vec<Reference>) -> Scanned<()> {
        let start = blocks.end;
        let info = self.u8()?;
        let len = match info {
            GC | SKIP => {
                let len = self.u32()?;
                if len == 0 {
                    return Err("a block is empty");
                }
                if info == SKIP {
                    let end = advance(start, len)?;
                    blocks.skips.push(Span { client: blocks.client, start, end });
                }
                len
            }
            _ => self.item(info, blocks.client, start, references)?,
        };
        blocks.end = advance(start, len)?;
        Ok(())
    }

    fn item(&mut self, info: u8, client: u64, clock: u32, references: &mut Vec<Reference>) -> Scanned<u32> {
        let mut reference = |reader: &mut Self| {
            let id = Reference { client: reader.client()?, clock: reader.u32()? };
            if id.client == client && id.clock >= clock {
                return Err("a change builds on itself");
            }
            references.push(id);
            Ok(())
        };
        if info & ORIGIN != 0 {
            reference(self)?;
        }
        if info & RIGHT_ORIGIN != 0 {
            reference(self)?;
        }
        if info & (ORIGIN | RIGHT_ORIGIN) == 0 {
            match self.u64()? {
                0 => reference(self)?,
                1 => drop(self.str()?),
                _ => return Err("a parent is of an unknown kind"),
            }
            if info & PARENT_SUB != 0 {
                self.str()?;
            }
        }
        self.content(info & 0b0001_1111)
    }

    /// Reads an item's content and returns its length in clocks. Left out are the kinds that no current editor writes:
    /// the old JSON content, hooks and subdocuments.
    fn content(&mut self, kind: u8) -> Scanned<u32> {
        match kind {
            DELETED => match self.u32()? {
                0 => Err("a block is empty"),
                len => Ok(len),
            },
            BINARY => self.bytes().map(|_| 1),
            STRING => {
                let units = self.str()?.encode_utf16().count();
                u32::try_from(units).map_err(|_| "a string is too long")
            }
            EMBED => self.json().map(|()| 1),
            FORMAT => {
                self.str()?;
                self.json().map(|()| 1)
            }
            TYPE => {
                match self.u8()? {
                    0 | 1 | 2 | 4 | 6 => {}
                    3 => drop(self.str()?),
                    _ => return Err("a shared type is of an unsupported kind"),
                }
                Ok(1)
            }
            ANY => {
                let count = self.count(1)?;
                for _ in 0..count {
                    self.any(0)?;
                }
                u32::try_from(count).map_err(|_| LONGER)
            }
            _ => Err("a change is of an unsupported kind"),
        }
    }

    fn any(&mut self, depth: usize) -> Scanned<()> {
        if depth > MAX_DEPTH {
            return Err("a value is nested too deeply");
        }
        match self.u8()? {
            127 | 126 | 121 | 120 => Ok(()),
            125 => {
                // The first byte of a signed number holds six bits and the sign.
                for _ in 0..10 {
                    if self.u8()? < 0x80 {
                        return Ok(());
                    }
                }
                Err("a number is too long")
            }
            124 => self.take(4).map(drop),
            123 | 122 => self.take(8).map(drop),
            119 => self.str().map(drop),
            118 => {
                for _ in 0..self.count(2)? {
                    self.str()?;
                    self.any(depth + 1)?;
                }
                Ok(())
            }
            117 => {
                for _ in 0..self.count(1)? {
                    self.any(depth + 1)?;
                }
                Ok(())
            }
            116 => self.bytes().map(drop),
            _ => Err("a value is of an unknown kind"),
        }
    }
}

const ENDS: &str = "it ends early";
const LONGER: &str = "a count is larger than what follows";

const GC: u8 = 0;
const DELETED: u8 = 1;
const BINARY: u8 = 3;
const STRING: u8 = 4;
const EMBED: u8 = 5;
const FORMAT: u8 = 6;
const TYPE: u8 = 7;
const ANY: u8 = 8;
const SKIP: u8 = 10;
const PARENT_SUB: u8 = 0b0010_0000;
const RIGHT_ORIGIN: u8 = 0b0100_0000;
const ORIGIN: u8 = 0b1000_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_lists_clients_references_and_deletions() {
        // Two blocks of client 7: "ab" in the root "t", then "c" after its second character; the first is deleted.
        let update = [1, 2, 7, 0, 4, 1, 1, b't', 2, b'a', b'b', 0x84, 7, 1, 1, b'c', 1, 7, 1, 0, 1];
        let outline = outline(&update).unwrap();
        assert_eq!(outline.clients, [Blocks { client: 7, start: 0, end: 3, skips: vec![] }]);
        assert_eq!(outline.references, [Reference { client: 7, clock: 1 }]);
        assert_eq!(outline.deletes, [Span { client: 7, start: 0, end: 1 }]);
    }

    #[test]
    fn every_cut_of_an_update_is_refused() {
        let update = [1, 1, 7, 0, 4, 1, 1, b't', 2, b'a', b'b', 0];
        assert!(outline(&update).is_ok());
        for end in 0..update.len() {
            assert!(outline(&update[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn counts_beyond_the_bytes_cost_nothing() {
        assert_eq!(outline(&[0xff, 0xff, 0xff, 0x7a, 1, 1, 0, 1]), Err(LONGER));
        assert_eq!(outline(&[0, 0xff, 0xff, 0xff, 0x7a, 1]), Err(LONGER));
        assert_eq!(state_vector(&[0xff, 0xff, 0xff, 0x7a, 1, 1]), Err(LONGER));
    }

    #[test]
    fn nesting_is_bounded() {
        let mut update = vec![1, 1, 7, 0, 8, 1, 1, b't', 1];
        update.extend([117, 1].repeat(100));
        update.extend([126, 0]);
        assert_eq!(outline(&update), Err("a value is nested too deeply"));
    }

    #[test]
    fn a_change_cannot_build_on_itself() {
        assert_eq!(outline(&[1, 1, 7, 0, 0x84, 7, 0, 1, b'c', 0]), Err("a change builds on itself"));
    }
}
