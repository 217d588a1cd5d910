//! The PostgreSQL store when its server goes away.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bedplate_tasks::TaskId;
use bedplate_tasks::store::{
    ClaimRequest, End, JobState, JobStore as _, NewJob, PostgresStore, Settled, Settlement, Signal, StoreControl as _,
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::postgres_support::{Sandbox, skip};

const KIND: &str = "outage.v1";

/// Workers that claim, and end what they claimed, repeating what fails for the moment.
struct Load {
    done: Arc<Mutex<HashMap<TaskId, u32>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(store: &PostgresStore, workers: usize) -> Self {
        let done: Arc<Mutex<HashMap<TaskId, u32>>> = Arc::default();
        let tasks = (0..workers).map(|number| {
            let (store, done) = (store.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let term = Duration::from_secs(2);
                let request = ClaimRequest::new(format!("w{number}"), [KIND], 5, term).wait(Duration::from_millis(200));
                loop {
                    let claims = match store.claim(&request).await {
                        Ok(claims) => claims,
                        Err(error) => {
                            assert!(error.is_transient(), "{error:?}");
                            sleep(Duration::from_millis(50)).await;
                            continue;
                        }
                    };
                    let ends: Vec<End> = claims
                        .iter()
                        .map(|claim| End::new(claim.lease, Settlement::Completed(b"1".to_vec())))
                        .collect();
                    let answers = loop {
                        match store.settle(&ends).await {
                            Ok(answers) => break answers,
                            Err(error) => assert!(error.is_transient(), "{error:?}"),
                        }
                        sleep(Duration::from_millis(50)).await;
                    };
                    for (end, answer) in ends.iter().zip(answers) {
                        if answer == Settled::Accepted {
                            *done.lock().entry(end.lease.job).or_insert(0) += 1;
                        }
                    }
                }
            })
        });
        Self { tasks: tasks.collect(), done }
    }

    fn count(&self) -> usize {
        self.done.lock().len()
    }

    fn stop(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn put(store: &PostgresStore, ids: &mut Vec<TaskId>) {
    let jobs: Vec<NewJob> = (0..5).map(|_| NewJob::new(KIND, b"{}".to_vec())).collect();
    let told: Vec<TaskId> = jobs.iter().map(|job| job.id).collect();
    match store.enqueue(jobs).await {
        Ok(answers) => {
            assert_eq!(answers.iter().map(|one| one.id()).collect::<Vec<_>>(), told);
            assert!(answers.iter().all(|one| !one.is_duplicate()), "a repeated call is not its own duplicate");
            ids.extend(told);
        }
        Err(error) => assert!(error.is_transient(), "{error:?}"),
    }
}

/// Everything that was taken in ends, each with one accepted end at most.
async fn all_ends(store: &PostgresStore, load: &Load, ids: &[TaskId]) {
    let began = Instant::now();
    loop {
        drop(store.maintain().await);
        let mut open = 0;
        for id in ids {
            if store.job(*id).await.unwrap().unwrap().state != JobState::Completed {
                open += 1;
            }
        }
        if open == 0 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{open} of {} do not end", ids.len());
        sleep(Duration::from_millis(100)).await;
    }
    assert!(load.done.lock().values().all(|ends| *ends == 1), "one accepted end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_nothing() {
    let Some(sandbox) = Sandbox::new() else { return };
    let store = sandbox.store().await;
    let load = Load::start(&store, 4);
    let mut ids = Vec::new();
    let cut = format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and query like '%{}%'",
        sandbox.schema
    );
    for _ in 0..8 {
        for _ in 0..20 {
            put(&store, &mut ids).await;
        }
        sandbox.execute(&cut).await;
    }
    assert!(ids.len() >= 400, "calls are repeated: {}", ids.len());
    all_ends(&store, &load, &ids).await;
    load.stop();
}

/// A server of the test's own.
struct Server {
    folder: tempfile::TempDir,
    pg_ctl: PathBuf,
    port: u16,
}

impl Server {
    fn start() -> Option<Self> {
        let found = |name: &str| {
            let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
            let mut found: Vec<PathBuf> = versions
                .flatten()
                .map(|version| version.path().join("bin").join(name))
                .filter(|path| path.exists())
                .collect();
            found.sort();
            found.pop()
        };
        let (Some(initdb), Some(pg_ctl)) = (found("initdb"), found("pg_ctl")) else {
            skip("initdb is not installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        if is_root() {
            // The server refuses to run as root.
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        run(as_server(&initdb).args(["-U", "postgres", "--auth=trust", "--no-sync", "-D"]).arg(&data));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { folder, pg_ctl, port };
        server.control(&["start"]);
        Some(server)
    }

    fn control(&self, what: &[&str]) {
        let data = self.folder.path().join("data");
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories={}",
            self.port,
            self.folder.path().display()
        );
        let mut command = as_server(&self.pg_ctl);
        command.args(what).arg("-s").arg("-w").arg("-D").arg(&data).arg("-l").arg(self.folder.path().join("log"));
        if what.first() != Some(&"stop") {
            command.arg("-o").arg(options);
        }
        run(&mut command);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        drop(as_server(&self.pg_ctl).args(["stop", "-s", "-m", "immediate", "-D"]).arg(data).status());
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn as_server(program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn run(command: &mut Command) {
    // What it prints goes nowhere: a server keeps its output open.
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).stdin(std::process::Stdio::null());
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_on_soon_after_the_server_is_back() {
    let Some(server) = Server::start() else { return };
    let sandbox = Sandbox::on(format!("postgres://postgres@127.0.0.1:{}/postgres", server.port));
    let store = sandbox.store().await;
    let load = Load::start(&store, 4);
    let mut signals = store.signals();
    let mut ids = Vec::new();
    for _ in 0..3 {
        for _ in 0..20 {
            put(&store, &mut ids).await;
        }
        tokio::task::block_in_place(|| server.control(&["stop", "-m", "immediate"]));
        put(&store, &mut Vec::new()).await;
        sleep(Duration::from_millis(300)).await;
        tokio::task::block_in_place(|| server.control(&["start"]));
        let (back, before) = (Instant::now(), load.count());
        while load.count() == before {
            put(&store, &mut ids).await;
            assert!(back.elapsed() < Duration::from_secs(2), "nothing goes on");
            sleep(Duration::from_millis(10)).await;
        }
        let reconnected = async { while signals.recv().await != Ok(Signal::Reconnected) {} };
        timeout(Duration::from_secs(3), reconnected).await.unwrap();
    }
    all_ends(&store, &load, &ids).await;
    load.stop();
}
