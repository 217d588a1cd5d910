use std::sync::Arc;
use std::time::Duration;

use bedplate_recovery::{Backoff, Jitter};
use bedplate_tasks::{Job, JobContext, JobOptions};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::diary::{DONE, Diary, STARTED, TOLD};

/// A job that writes down that it ran.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Chaos {
    pub(crate) what: What,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum What {
    /// Takes so many milliseconds.
    Work(u64),
    /// Takes its process down.
    Abort,
    /// Runs until it is told to stop.
    Endless,
}

impl Job for Chaos {
    const KIND: &'static str = "chaos.v1";
    /// The process that did it.
    type Output = u32;
    type Error = String;
    type Progress = u64;
    type State = Arc<Diary>;

    fn options() -> JobOptions {
        let backoff = Backoff::constant(Duration::from_millis(200)).jitter(Jitter::None);
        JobOptions::new().backoff(backoff).timeout(Duration::from_mins(2))
    }

    async fn run(self, cx: JobContext<Self>) -> Result<u32, String> {
        let diary = Arc::clone(cx.state());
        diary.write(STARTED, cx.id(), &cx.attempt().number.to_string());
        match self.what {
            What::Work(millis) => sleep(Duration::from_millis(millis)).await,
            What::Abort => std::process::abort(),
            What::Endless => {
                let stop = cx.stopped().await;
                diary.write(TOLD, cx.id(), &format!("{stop:?}"));
                return Err("told to stop".to_owned());
            }
        }
        diary.write(DONE, cx.id(), "-");
        Ok(std::process::id())
    }
}
