//! Encrypted arguments, from the submitter through the store to the worker.
use bedplate_tasks::store::{FailureKind, JobQuery, MemoryStore};
use bedplate_tasks::{Job, JobContext, JobOptions, Jobs, Keyring, Outcome};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Pay {
    card: String,
}

impl Job for Pay {
    const KIND: &'static str = "pay.v1";
    type Output = usize;
    type Error = String;
    type Progress = ();
    type State = ();

    fn options() -> JobOptions {
        JobOptions::new().max_attempts(1)
    }

    async fn run(self, _: JobContext<Self>) -> Result<usize, String> {
        Ok(self.card.len())
    }
}

#[tokio::test(start_paused = true)]
async fn the_store_holds_what_only_the_keyring_opens() {
    let store = MemoryStore::default();
    let ring = || Keyring::new("new", &[2; 32]).unwrap();
    let web = Jobs::builder(store.clone()).workers(0).codec(ring()).start().unwrap();
    let card = "4111 1111 1111 1111".to_owned();
    let handle = web.submit(Pay { card: card.clone() }).await.unwrap();
    let held = web.find(&JobQuery::default()).await.unwrap();
    assert_eq!(held.len(), 1);
    let shown = format!("{held:?}") + &String::from_utf8_lossy(&held[0].job.payload);
    assert!(!held[0].job.payload.is_empty() && !shown.contains("4111"), "{shown}");
    let worker = Jobs::builder(store.clone()).codec(ring()).register::<Pay>().start().unwrap();
    assert_eq!(handle.await.unwrap(), card.len());
    drop(worker);

    let lost = web.submit(Pay { card }).await.unwrap();
    let other = Keyring::new("other", &[3; 32]).unwrap();
    let worker = Jobs::builder(store).codec(other).register::<Pay>().start().unwrap();
    let Outcome::Failed { failure, .. } = lost.wait().await.unwrap() else { panic!("it was read by another key") };
    assert_eq!(failure.kind, FailureKind::Undecodable);
    assert!(failure.message.contains("new"), "it names the key that is missing: {}", failure.message);
    drop(worker);
}
