//! Decides, from an update's outline and what the document knows, whether the engine may see it.

use yrs::{ClientID, StateVector};

use super::scan::Outline;
use crate::CollaborationError;

/// What an update brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Novelty {
    /// Nothing that the document does not have.
    Nothing,
    /// Changes that follow what the document has.
    New,
    /// Changes that the document has in part; that part must be cut off.
    Overlap,
}

/// Refuses an update that leaves a gap or refers to what nobody has sent: the engine would keep it, and encode it
/// again into every later answer, until what is missing comes, which may be never.
pub(super) fn check(outline: &Outline, known: &StateVector) -> Result<Novelty, CollaborationError> {
    let have = |client| known.get(&ClientID::new(client));
    let mut novelty = Novelty::Nothing;
    let mut overlap = false;
    for blocks in &outline.clients {
        let have = have(blocks.client);
        if blocks.start > have {
            return Err(CollaborationError::Gap { client: blocks.client, have });
        }
        if let Some(skip) = blocks.skips.iter().find(|skip| skip.end > have) {
            return Err(CollaborationError::Gap { client: blocks.client, have: skip.start.max(have) });
        }
        overlap |= blocks.start < have;
        if blocks.end > have {
            novelty = Novelty::New;
        }
    }
    let will_have = |client: u64| {
        let sent = outline.clients.iter().find(|blocks| blocks.client == client);
        sent.map_or(0, |blocks| blocks.end).max(have(client))
    };
    let references = outline.references.iter().map(|id| (id.client, id.clock));
    let deletes = outline.deletes.iter().map(|span| (span.client, span.end - 1));
    for (client, clock) in references.chain(deletes) {
        let will = will_have(client);
        if clock >= will {
            return Err(CollaborationError::Gap { client, have: will });
        }
    }
    if novelty == Novelty::Nothing && !outline.deletes.is_empty() {
        novelty = Novelty::New;
    }
    Ok(match novelty {
        Novelty::New if overlap => Novelty::Overlap,
        other => other,
    })
}

/// Returns the part of `theirs` that is ours too; a clock beyond ours says nothing to us.
pub(super) fn common(theirs: &[(u64, u32)], ours: &StateVector) -> StateVector {
    let mut common = StateVector::default();
    for (client, clock) in theirs {
        let client = ClientID::new(*client);
        common.set_max(client, (*clock).min(ours.get(&client)));
    }
    common
}

#[cfg(test)]
mod tests {
    use super::super::scan::{Blocks, Reference, Span};
    use super::*;

    fn known(clocks: &[(u64, u32)]) -> StateVector {
        let mut known = StateVector::default();
        for (client, clock) in clocks {
            known.set_max(ClientID::new(*client), *clock);
        }
        known
    }

    fn blocks(client: u64, start: u32, end: u32) -> Outline {
        Outline { clients: vec![Blocks { client, start, end, skips: Vec::new() }], ..Outline::default() }
    }

    #[test]
    fn what_follows_is_new_and_what_is_known_is_nothing() {
        let known = known(&[(1, 5)]);
        assert_eq!(check(&blocks(1, 5, 6), &known).unwrap(), Novelty::New);
        assert_eq!(check(&blocks(2, 0, 6), &known).unwrap(), Novelty::New);
        assert_eq!(check(&blocks(1, 3, 6), &known).unwrap(), Novelty::Overlap);
        assert_eq!(check(&blocks(1, 0, 5), &known).unwrap(), Novelty::Nothing);
    }

    #[test]
    fn gaps_are_refused_with_the_clock_to_send_from() {
        let known = known(&[(1, 5)]);
        let gap = |outline: &Outline| match check(outline, &known) {
            Err(CollaborationError::Gap { client, have }) => (client, have),
            other => panic!("{other:?}"),
        };
        assert_eq!(gap(&blocks(1, 6, 7)), (1, 5));
        let mut outline = blocks(1, 5, 9);
        outline.references.push(Reference { client: 2, clock: 0 });
        assert_eq!(gap(&outline), (2, 0));
        let mut outline = blocks(1, 5, 9);
        outline.deletes.push(Span { client: 1, start: 8, end: 10 });
        assert_eq!(gap(&outline), (1, 9));
        let mut outline = blocks(1, 0, 9);
        outline.clients[0].skips.push(Span { client: 1, start: 4, end: 6 });
        assert_eq!(gap(&outline), (1, 5));
    }
}
