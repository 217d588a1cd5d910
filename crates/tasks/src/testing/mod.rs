//! For tests: jobs that run when the test says so, checks of what was submitted, and the suite that every store passes.
//!
//! [`JobsBuilder::start_inline`](crate::JobsBuilder::start_inline) runs each job while it is submitted,
//! [`JobsBuilder::start_manual`](crate::JobsBuilder::start_manual) when [`Jobs::run_due`](crate::Jobs::run_due) is called.
//! On the memory store time is tokio's, so that `tokio::time::advance` makes delayed jobs due.
//!
//! # Examples
//! ```
//! use std::time::Duration;
//! use bedplate_tasks::{Job, JobContext, Jobs, assert_submitted, refute_submitted};
//! use bedplate_tasks::store::MemoryStore;
//!
//! # #[derive(Debug, serde::Serialize, serde::Deserialize)]
//! struct Remind { user: u32 }
//! # impl Job for Remind {
//! #     const KIND: &'static str = "remind.v1";
//! #     type Output = (); type Error = String; type Progress = (); type State = ();
//! #     async fn run(self, _: JobContext<Self>) -> Result<(), String> { Ok(()) }
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(async {
//! let jobs = Jobs::builder(MemoryStore::default()).register::<Remind>().start_manual()?;
//! let handle = jobs.submit(Remind { user: 7 }).delay(Duration::from_secs(3600)).await?;
//! assert_submitted!(jobs, Remind, |job| job.user == 7);
//! refute_submitted!(jobs, Remind, |job| job.user == 8);
//! assert_eq!(jobs.run_due().await, 0);
//! tokio::time::advance(Duration::from_secs(3600)).await;
//! assert_eq!(jobs.run_due().await, 1);
//! handle.result().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod contract;
mod submitted;

#[doc(hidden)]
pub use submitted::Check;
pub use submitted::submitted;
