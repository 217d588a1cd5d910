//! A Redis of its own, to be stopped and started: others are not disturbed.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support;

/// Keeps what it has in a file, so that it has it again after a kill.
pub(super) struct Server {
    port: u16,
    folder: tempfile::TempDir,
    process: Child,
}

impl Server {
    /// `None`, and a word of it, where there is no `redis-server`.
    pub(super) fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let Ok(process) = spawn(port, &folder) else {
            support::missing("redis-server is not installed");
            return None;
        };
        let server = Self { port, folder, process };
        server.wait();
        Some(server)
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(super) fn restart(&mut self) {
        self.process = spawn(self.port, &self.folder).unwrap();
        self.wait();
    }

    fn wait(&self) {
        let answers = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
            stream.write_all(b"PING\r\n").ok()?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).ok()?;
            (&answer == b"+PONG").then_some(())
        };
        let answered = (0..400).any(|_| {
            std::thread::park_timeout(Duration::from_millis(25));
            answers().is_some()
        });
        assert!(answered, "the server does not answer");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn spawn(port: u16, folder: &tempfile::TempDir) -> std::io::Result<Child> {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
        .args(["--port", &port.to_string(), "--dir", folder.path().to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
