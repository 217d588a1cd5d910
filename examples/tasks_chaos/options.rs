use std::time::Duration;

use crate::Fail;
use crate::child::Child;
use crate::store::Kind;

/// What the program was asked to do.
pub(crate) struct Options {
    pub(crate) store: Kind,
    pub(crate) jobs: u64,
    pub(crate) time: Duration,
    only: Vec<String>,
}

pub(crate) enum Role {
    Parent(Options),
    Child(Child),
}

const ALL: [&str; 9] = ["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c10"];

impl Options {
    pub(crate) fn read(mut args: impl Iterator<Item = String>) -> Result<Role, Fail> {
        let mut options = Self { store: Kind::Sqlite, jobs: 2_000, time: Duration::from_secs(10), only: Vec::new() };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--store" => options.store = value()?.parse()?,
                "--jobs" => options.jobs = value()?.parse().map_err(|_| "--jobs is a number of jobs")?,
                "--seconds" => {
                    let seconds = value()?.parse().map_err(|_| "--seconds is a number of seconds")?;
                    options.time = Duration::from_secs(seconds);
                }
                "--case" => options.only = value()?.split(',').map(str::to_lowercase).collect(),
                "--child" => return Ok(Role::Child(value()?.parse()?)),
                other => {
                    let usage = "--store sqlite|redis|postgres [--case c1,c2] [--jobs N] [--seconds S]";
                    return Err(format!("{other} is unknown, expected {usage}").into());
                }
            }
        }
        if let Some(unknown) = options.only.iter().find(|case| !ALL.contains(&case.as_str())) {
            return Err(format!("case {unknown} is unknown, expected some of {}", ALL.join(",")).into());
        }
        Ok(Role::Parent(options))
    }

    /// The cases to run; the soak only if it is named.
    pub(crate) fn cases(&self) -> Vec<&'static str> {
        let wanted = |case: &&str| {
            if self.only.is_empty() { **case != *"c10" } else { self.only.iter().any(|only| only == case) }
        };
        ALL.into_iter().filter(wanted).collect()
    }
}
