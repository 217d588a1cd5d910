use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;

use bedplate_tasks::store::{PostgresStore, RedisStore, SqliteStore, Store};

use crate::Fail;

/// Which store the chaos is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Redis,
    Postgres,
}

impl FromStr for Kind {
    type Err = Fail;

    fn from_str(text: &str) -> Result<Self, Fail> {
        match text {
            "sqlite" => Ok(Self::Sqlite),
            "redis" => Ok(Self::Redis),
            "postgres" => Ok(Self::Postgres),
            other => Err(format!("store {other} is unknown, expected sqlite, redis or postgres").into()),
        }
    }
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }
}

/// Where one case's jobs are: an empty place of their own. Its text can be given to another process.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    Redis { url: String, prefix: String },
    Postgres { url: String, schema: String },
}

impl Place {
    pub(crate) fn new(kind: Kind, folder: &Path, name: &str) -> Result<Self, Fail> {
        let unique = format!("chaos_{name}_{}", std::process::id());
        match kind {
            Kind::Sqlite => Ok(Self::Sqlite(folder.join("jobs.db"))),
            Kind::Redis => Ok(Self::Redis { url: variable("BEDPLATE_REDIS_URL")?, prefix: unique }),
            Kind::Postgres => Ok(Self::Postgres { url: variable("BEDPLATE_POSTGRES_URL")?, schema: unique }),
        }
    }

    pub(crate) async fn open(&self) -> Result<Arc<dyn Store>, Fail> {
        Ok(match self {
            Self::Sqlite(path) => Arc::new(SqliteStore::open(path).await?),
            Self::Redis { url, prefix } => Arc::new(RedisStore::builder(url).prefix(prefix).connect().await?),
            Self::Postgres { url, schema } => {
                let engine = format!("{schema}_engine");
                Arc::new(PostgresStore::builder(url).schema(schema).engine_schema(engine).connect().await?)
            }
        })
    }

    /// Removes what the case left on a server.
    pub(crate) fn clean(&self) -> Result<(), Fail> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Redis { url, prefix } => {
                // Names of keys have no blanks here.
                let keys = output("redis-cli", &["-u", url, "--scan", "--pattern", &format!("{prefix}*")])?;
                for part in keys.split_whitespace().collect::<Vec<_>>().chunks(1_000) {
                    output("redis-cli", &[&["-u", url, "unlink"], part].concat())?;
                }
                Ok(())
            }
            Self::Postgres { url, schema } => {
                let drop =
                    format!("drop schema if exists {schema} cascade; drop schema if exists {schema}_engine cascade");
                output("psql", &[url, "-qAtc", &drop])?;
                Ok(())
            }
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Sqlite(_) => Kind::Sqlite,
            Self::Redis { .. } => Kind::Redis,
            Self::Postgres { .. } => Kind::Postgres,
        }
    }
}

fn output(program: &str, args: &[&str]) -> Result<String, Fail> {
    let output = Command::new(program).args(args).stderr(Stdio::null()).output()?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        Err(format!("{program} failed: {}", output.status).into())
    }
}

fn variable(name: &str) -> Result<String, Fail> {
    let value = std::env::var_os(name).and_then(|value| value.into_string().ok());
    value.ok_or_else(|| format!("{name} names no server; scripts/services.sh starts one and `env` prints it").into())
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite|{}", path.display()),
            Self::Redis { url, prefix } => write!(f, "redis|{url}|{prefix}"),
            Self::Postgres { url, schema } => write!(f, "postgres|{url}|{schema}"),
        }
    }
}

impl FromStr for Place {
    type Err = Fail;

    fn from_str(text: &str) -> Result<Self, Fail> {
        let owned = str::to_owned;
        match text.split('|').collect::<Vec<_>>()[..] {
            ["sqlite", path] => Ok(Self::Sqlite(path.into())),
            ["redis", url, prefix] => Ok(Self::Redis { url: owned(url), prefix: owned(prefix) }),
            ["postgres", url, schema] => Ok(Self::Postgres { url: owned(url), schema: owned(schema) }),
            _ => Err(format!("place {text:?} is unknown").into()),
        }
    }
}
