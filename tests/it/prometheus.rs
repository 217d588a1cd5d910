//! `/metrics` of the real server, read by Prometheus' own programs.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bedplate::{Bedplate, Request};
use reqwest::Client;
use serde_json::Value;

use crate::support::{missing, serve};

/// A system that answered one request, and where it serves.
async fn system() -> String {
    let system = Bedplate::builder().build().await.unwrap();
    system.process(Request::text("The governor closes the throttle.")).await.unwrap();
    serve(system).await
}

/// Starts a program of the Debian package `prometheus`, or says that it is not there.
fn start(command: &mut Command) -> Option<Running> {
    match command.stdin(Stdio::piped()).spawn() {
        Ok(child) => Some(Running(child)),
        Err(error) => {
            missing(&format!("{} cannot be run: {error}", command.get_program().display()));
            None
        }
    }
}

/// A program that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        self.0.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_accepts_what_the_server_says() {
    let base = system().await;
    let metrics = Client::new().get(format!("{base}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("bedplate_requests_total{status=\"succeeded\"} 1\n"), "{metrics}");
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]);
    let Some(mut promtool) = start(&mut command) else {
        return;
    };
    let mut input = promtool.0.stdin.take().unwrap();
    input.write_all(metrics.as_bytes()).unwrap();
    drop(input);
    assert!(promtool.0.wait().unwrap().success(), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrapes_the_server() {
    let base = system().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prometheus.yml");
    let target = base.strip_prefix("http://").unwrap();
    let text = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs: [{{job_name: bedplate, static_configs: [{{targets: ['{target}']}}]}}]\n"
    );
    std::fs::write(&config, text).unwrap();
    // Free a moment ago; it takes no number of its own choosing.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let log = folder.path().join("log");
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap());
    let Some(_prometheus) = start(&mut command) else {
        return;
    };
    let api = format!("http://{address}/api/v1");
    for query in ["up", "sum(bedplate_requests_total)", "sum(operation_duration_seconds_count)"] {
        let url = format!("{api}/query?query={query}");
        let found = until_one(&url);
        assert!(tokio::time::timeout(Duration::from_secs(20), found).await.is_ok(), "{query}: {}", said(&log));
    }
    let targets: Value = Client::new().get(format!("{api}/targets")).send().await.unwrap().json().await.unwrap();
    let target = &targets["data"]["activeTargets"][0];
    assert!(target["health"] == "up" && target["lastError"] == "", "{targets}");
}

/// Asks until the one series has the value 1.
async fn until_one(url: &str) {
    let client = Client::new();
    let mut every = tokio::time::interval(Duration::from_millis(200));
    loop {
        every.tick().await;
        // Nobody listens at first.
        let Ok(response) = client.get(url).send().await else { continue };
        let Ok(answer) = response.json::<Value>().await else { continue };
        if answer.pointer("/data/result/0/value/1").is_some_and(|value| value == "1") {
            return;
        }
    }
}

fn said(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap()
}
