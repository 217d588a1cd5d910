//! Three hubs that edit at once and exchange their updates in any order end with one text.

use bedplate_collaboration::{Change, CollaborationError, Hub, Session, Updates};
use bytes::Bytes;
use proptest::prelude::*;
use yrs::StateVector;
use yrs::updates::decoder::Decode as _;

use crate::join;

#[derive(Debug, Clone)]
enum Step {
    /// Replica `at` replaces a part of its text; the places are taken modulo its length.
    Edit { at: usize, from: usize, len: usize, text: String },
    /// Replica `at` receives one of the updates that wait for it, or one that it has had already.
    Deliver { at: usize, which: usize, keep: bool },
    /// Replica `at` loses one of the updates that wait for it.
    Lose { at: usize, which: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let text = "[a-c🦀é]{0,4}";
    prop_oneof![
        (0..3_usize, any::<usize>(), 0..4_usize, text)
            .prop_map(|(at, from, len, text)| { Step::Edit { at, from, len, text } }),
        (0..3_usize, any::<usize>(), any::<bool>()).prop_map(|(at, which, keep)| Step::Deliver { at, which, keep }),
        (0..3_usize, any::<usize>()).prop_map(|(at, which)| Step::Lose { at, which }),
    ]
}

struct Replica {
    session: Session,
    outgoing: Updates,
    waiting: Vec<Bytes>,
    /// What the text must be by the edits since the last foreign update.
    model: Vec<char>,
}

impl Replica {
    async fn new() -> (Self, Session) {
        let hub = Hub::new();
        let session = join(&hub, "editor").await;
        let bridge = join(&hub, "bridge").await;
        let outgoing = bridge.updates();
        (Self { session, outgoing, waiting: Vec::new(), model: Vec::new() }, bridge)
    }
}

async fn run(steps: Vec<Step>) {
    let mut replicas = Vec::new();
    let mut bridges = Vec::new();
    for _ in 0..3 {
        let (replica, bridge) = Replica::new().await;
        replicas.push(replica);
        bridges.push(bridge);
    }
    for step in steps {
        match step {
            Step::Edit { at, from, len, text } => {
                let replica = &mut replicas[at];
                let from = from % (replica.model.len() + 1);
                let to = (from + len).min(replica.model.len());
                replica.session.edit(|edit| edit.replace(from..to, &text)).await.unwrap();
                replica.model.splice(from..to, text.chars());
                assert_eq!(replica.session.text(), replica.model.iter().collect::<String>());
                while let Some(change) = replicas[at].outgoing.try_recv().unwrap() {
                    if let Change::Update { update, .. } = change {
                        for other in (0..3).filter(|other| *other != at) {
                            replicas[other].waiting.push(update.clone());
                        }
                    }
                }
            }
            Step::Deliver { at, which, keep } if !replicas[at].waiting.is_empty() => {
                let which = which % replicas[at].waiting.len();
                let update = replicas[at].waiting[which].clone();
                let before = replicas[at].session.text();
                match bridges[at].apply_update(&update).await {
                    Ok(_) if keep => {}
                    Ok(_) => drop(replicas[at].waiting.remove(which)),
                    Err(CollaborationError::Gap { .. }) => {
                        assert_eq!(replicas[at].session.text(), before);
                    }
                    Err(error) => panic!("{error}"),
                }
                replicas[at].model = replicas[at].session.text().chars().collect();
            }
            Step::Lose { at, which } if !replicas[at].waiting.is_empty() => {
                let which = which % replicas[at].waiting.len();
                replicas[at].waiting.remove(which);
            }
            Step::Deliver { .. } | Step::Lose { .. } => {}
        }
    }
    // Whatever was lost or out of order, the differences by state vector mend it.
    for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 1), (1, 2)] {
        let diff = replicas[from].session.diff(&replicas[to].session.state_vector()).unwrap();
        bridges[to].apply_update(&diff).await.unwrap();
    }
    let texts: Vec<_> = replicas.iter().map(|replica| replica.session.text()).collect();
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[1], texts[2]);
    let known = |replica: &Replica| StateVector::decode_v1(&replica.session.state_vector()).unwrap();
    assert_eq!(known(&replicas[0]), known(&replicas[1]));
    assert_eq!(known(&replicas[1]), known(&replicas[2]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn replicas_converge(steps in prop::collection::vec(step(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(steps));
    }
}
