use std::process::{Child as Os, Command, Stdio};

use crate::Fail;
use crate::child::{Child, Task};
use crate::diary::now_ms;

/// A process of this program's, killed when it is dropped.
pub(crate) struct Process {
    os: Os,
    what: Child,
}

impl Process {
    pub(crate) fn start(what: Child) -> Result<Self, Fail> {
        let os = spawn(&what)?;
        Ok(Self { os, what })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.os.id()
    }

    /// Kills it without warning and returns when, in milliseconds since 1970.
    pub(crate) fn kill(&mut self) -> Result<u64, Fail> {
        self.os.kill()?;
        let at = now_ms();
        self.os.wait()?;
        Ok(at)
    }

    pub(crate) fn start_again(&mut self) -> Result<(), Fail> {
        self.os = spawn(&self.what)?;
        Ok(())
    }

    /// Starts it again if it ended; returns whether it had.
    pub(crate) fn keep_up(&mut self) -> Result<bool, Fail> {
        let ended = self.os.try_wait()?.is_some();
        if ended {
            self.start_again()?;
        }
        Ok(ended)
    }

    /// Sends it a signal, such as `STOP` or `CONT`.
    pub(crate) fn signal(&self, name: &str) -> Result<(), Fail> {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status()?;
        if status.success() { Ok(()) } else { Err(format!("kill -{name} failed: {status}").into()) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that is gone is gone.
        drop(self.os.kill());
        drop(self.os.wait());
    }
}

fn spawn(what: &Child) -> Result<Os, Fail> {
    let program = std::env::current_exe()?;
    // A worker ends with the pipe to its parent, should that be killed.
    let input = if what.task == Task::Produce { Stdio::null() } else { Stdio::piped() };
    let quiet = if what.task == Task::Work { Stdio::null() } else { Stdio::inherit() };
    Ok(Command::new(program)
        .arg("--child")
        .arg(what.to_string())
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(quiet)
        .spawn()?)
}
