//! Collaboration by itself: two people write one text, a replica elsewhere follows, and hostile bytes change nothing.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;

use bedplate_collaboration::{Change, CollaborationError, Hub, Participant};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = Hub::new();
    let ann = hub.join("minutes", Participant::new("ann").named("Ann")).await?;
    let bob = hub.join("minutes", Participant::new("bob").named("Bob")).await?;
    let mut news = bob.updates();
    println!("in the document: {}", names(&ann));

    ann.edit(|text| text.push("Agenda: bread, 🧀")).await?;
    bob.edit(|text| text.replace(8..13, "wine")).await?;
    println!("after two edits: {}", ann.text());

    // A replica in another hub, as a browser is one, follows by the updates that Bob's session hears.
    let elsewhere = Hub::new();
    let copy = elsewhere.join("minutes", Participant::new("replica")).await?;
    copy.apply_update(&bob.diff(&copy.state_vector())?).await?;
    ann.edit(|text| text.push(", olives")).await?;
    while let Some(change) = news.try_recv()? {
        if let Change::Update { update, session, .. } = change {
            println!("update of session {session}: {:?}, {} bytes", copy.apply_update(&update).await?, update.len());
        }
    }
    println!("the replica:     {}", copy.text());

    let hostile = ann.apply_update(&[0xff, 0xff, 0xff, 0x7a, 1, 1, 0, 1]).await;
    let too_far = ann.edit(|text| text.insert(1_000, "?")).await;
    for error in [hostile.err(), too_far.err()].into_iter().flatten() {
        println!("refused:         {error}");
    }

    let (left, refused) = (ann.text(), hub.stats().refused);
    ann.leave().await?;
    println!("Ann has left:    {}", names(&bob));
    bob.leave().await?;
    let again = hub.join("minutes", Participant::new("carl")).await?;
    println!("read back:       {}", again.text());
    let kept = again.text() == left && copy.text() == left && left == "Agenda: wine, 🧀, olives";
    let guarded = matches!(again.edit(|text| text.delete(5..9_999)).await, Err(CollaborationError::Edit(_)));
    if kept && guarded && refused == 2 { Ok(()) } else { Err("the text is not what was written".into()) }
}

fn names(session: &bedplate_collaboration::Session) -> String {
    let present = session.participants();
    present.iter().map(|present| present.participant.name.as_str()).collect::<Vec<_>>().join(", ")
}
