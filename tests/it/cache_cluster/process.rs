//! A node in a process of its own: this very test binary, told by its environment to be one. It takes a line and gives
//! a line.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bedplate_cache::remote::NodeId;
use tokio::time::{Instant, sleep};

/// What a node is to be, and an origin in files that all of them share.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) name: String,
    pub(super) tier: String,
    pub(super) backplane: String,
    origin: PathBuf,
    _folder: Option<Arc<tempfile::TempDir>>,
}

impl Setup {
    pub(super) fn new(what: &str, url: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self {
            name: format!("bedplate-test:{what}:{}:", NodeId::random()),
            tier: url.to_owned(),
            backplane: url.to_owned(),
            origin: folder.path().to_path_buf(),
            _folder: Some(folder),
        }
    }

    pub(super) fn backplane(mut self, url: &str) -> Self {
        url.clone_into(&mut self.backplane);
        self
    }

    pub(super) fn of_this_process() -> Option<Self> {
        let given = |name| std::env::var_os(name).and_then(|value: OsString| value.into_string().ok());
        Some(Self {
            name: given(VARIABLES[0])?,
            tier: given(VARIABLES[1])?,
            backplane: given(VARIABLES[2])?,
            origin: given(VARIABLES[3])?.into(),
            _folder: None,
        })
    }

    /// Sets what the origin has for a key.
    pub(super) fn origin(&self, key: &str, value: u64) {
        // Renamed, so that no reader sees half of it.
        let temporary = self.origin.join(format!("{key}.new"));
        fs::write(&temporary, value.to_string()).unwrap();
        fs::rename(temporary, self.origin.join(key)).unwrap();
    }

    pub(super) fn break_origin(&self) {
        fs::write(self.origin.join("BROKEN"), "").unwrap();
    }

    pub(super) fn mend_origin(&self) {
        fs::remove_file(self.origin.join("BROKEN")).unwrap();
    }

    /// Asks the origin.
    pub(super) fn read(&self, key: &str) -> std::io::Result<u64> {
        if self.origin.join("BROKEN").exists() {
            return Err(std::io::Error::other("the origin is broken"));
        }
        fs::read_to_string(self.origin.join(key))?.parse().map_err(std::io::Error::other)
    }
}

pub(super) struct Process {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    pub(super) fn start(setup: &Setup) -> Self {
        let origin = setup.origin.to_str().unwrap();
        let values = [setup.name.as_str(), &setup.tier, &setup.backplane, origin];
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["cache_cluster::the_process_of_a_node", "--exact", "--nocapture"])
            .envs(VARIABLES.into_iter().zip(values))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut process = Self { child, orders, answers: BufReader::new(answers) };
        assert_eq!(process.ask("listen"), "done", "it never heard its own word");
        process
    }

    /// Gives an order and returns the answer.
    pub(super) fn ask(&mut self, order: &str) -> String {
        tokio::task::block_in_place(|| {
            writeln!(self.orders, "{order}").unwrap();
            loop {
                let mut line = String::new();
                assert!(self.answers.read_line(&mut line).unwrap() > 0, "the process ended at `{order}`");
                // The test runner has its own words on the same stream, and may leave its line open.
                if let Some((_, answer)) = line.trim_end().split_once(ANSWER) {
                    return answer.to_owned();
                }
            }
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(super) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(15), "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// What an answer begins with.
pub(super) const ANSWER: &str = "==> ";
const VARIABLES: [&str; 4] =
    ["BEDPLATE_CLUSTER_NAME", "BEDPLATE_CLUSTER_TIER", "BEDPLATE_CLUSTER_BACKPLANE", "BEDPLATE_CLUSTER_ORIGIN"];
