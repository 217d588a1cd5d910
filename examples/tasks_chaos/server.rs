use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::Fail;

/// A Redis of one's own, which writes what it is told to a file, and can be killed.
pub(crate) struct PrivateRedis {
    port: u16,
    folder: PathBuf,
    process: Mutex<Option<Child>>,
}

impl PrivateRedis {
    pub(crate) fn new(folder: &Path) -> Result<Self, Fail> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let server = Self { port, folder: folder.to_owned(), process: Mutex::new(None) };
        server.start()?;
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn start(&self) -> Result<(), Fail> {
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "everysec"])
            .arg("--port")
            .arg(self.port.to_string())
            .arg("--dir")
            .arg(&self.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("redis-server cannot be started: {error}"))?;
        self.replace(Some(process));
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if began.elapsed() > Duration::from_secs(10) {
                return Err("redis-server does not answer".into());
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Kills it without warning.
    pub(crate) fn stop(&self) -> Result<(), Fail> {
        if let Some(mut process) = self.replace(None) {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    fn replace(&self, process: Option<Child>) -> Option<Child> {
        let mut place = self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::replace(&mut place, process)
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        // One that is gone is gone.
        drop(self.stop());
    }
}
