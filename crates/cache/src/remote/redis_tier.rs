//! Redis, or what speaks its protocol, as a remote tier.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError, RedisResult, Script};

use super::{KeyMatcher, LockToken, RemoteError, RemoteLock, RemoteTier, Stamp, StoreOutcome, Write};
use crate::ConfigError;

/// How a [`RedisTier`] uses its server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisTierConfig {
    /// What every key begins with; default `bedplate:`. Caches of different content need different ones,
    /// and a changed type of value a new one. It has no part that differs from process to process.
    pub prefix: String,
    /// How long a command may take; default 500 ms, above zero.
    pub timeout: Duration,
    /// How long a connection may take to be made; default 1 s, above zero.
    pub connect_timeout: Duration,
    /// The largest envelope in bytes; default 64 MiB, Redis takes 512 MiB. Large ones hold up all others
    /// on the same connection.
    pub max_envelope: usize,
}

impl Default for RedisTierConfig {
    fn default() -> Self {
        Self {
            prefix: "bedplate:".to_owned(),
            timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(1),
            max_envelope: 64 << 20,
        }
    }
}

/// Keeps envelopes in Redis 5 or newer, over one connection that is made again when it breaks.
///
/// It is made for one server, or one with replicas behind one address: scripts and batches that touch
/// several keys do not cross the slots of Redis Cluster. A server that evicts keys under memory pressure
/// may forget that something was invalidated; give it `maxmemory-policy volatile-ttl` or room.
///
/// No call takes longer than the connect timeout and the timeout together. Every store is one script,
/// so newest wins although many nodes write.
#[derive(Clone)]
pub struct RedisTier {
    connection: ConnectionManager,
    config: RedisTierConfig,
}

impl RedisTier {
    /// Makes a tier at an address such as `redis://127.0.0.1:6379/0`. The server need not be up: the
    /// connection is made by the first call that needs it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the address is none, or a setting cannot be. The address is not repeated, as
    /// it may hold a password.
    pub fn new(url: &str, config: RedisTierConfig) -> Result<Self, ConfigError> {
        let manager = manager(url, config.timeout, config.connect_timeout)?;
        Ok(Self { connection: manager, config })
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [self.config.prefix.as_bytes(), key].concat()
    }

    fn lock_key(&self, key: &[u8]) -> Vec<u8> {
        // No key of a link begins like this.
        [self.config.prefix.as_bytes(), b"~", key].concat()
    }

    async fn bounded<T>(&self, call: impl Future<Output = RedisResult<T>>) -> Result<T, RemoteError> {
        bounded(self.config.timeout.saturating_add(self.config.connect_timeout), call).await
    }

    /// One page of a scan: the next cursor and the keys.
    async fn scan(&self, cursor: u64) -> Result<(u64, Vec<Vec<u8>>), RemoteError> {
        let mut connection = self.connection.clone();
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(escaped(&self.config.prefix)).arg("COUNT").arg(500);
        self.bounded(scan.query_async(&mut connection)).await
    }
}

impl fmt::Debug for RedisTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTier").field("config", &self.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl RemoteTier for RedisTier {
    async fn load(&self, key: &[u8]) -> Result<Option<Bytes>, RemoteError> {
        let mut connection = self.connection.clone();
        let mut get = redis::cmd("GET");
        get.arg(self.key(key));
        let found: Option<Vec<u8>> = self.bounded(get.query_async(&mut connection)).await?;
        Ok(found.map(Bytes::from))
    }

    async fn load_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, RemoteError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.connection.clone();
        let mut get = redis::cmd("MGET");
        for key in keys {
            get.arg(self.key(key));
        }
        let found: Vec<Option<Vec<u8>>> = self.bounded(get.query_async(&mut connection)).await?;
        if found.len() != keys.len() {
            return Err(RemoteError::refused("the answer has another length than the question"));
        }
        Ok(found.into_iter().map(|bytes| bytes.map(Bytes::from)).collect())
    }

    async fn store(&self, write: Write<'_>) -> Result<StoreOutcome, RemoteError> {
        let bytes = write.envelope.bytes();
        if bytes.len() > self.config.max_envelope {
            let [bytes, limit] =
                [bytes.len(), self.config.max_envelope].map(|size| u64::try_from(size).unwrap_or(u64::MAX));
            return Err(RemoteError::too_large(bytes, limit));
        }
        let mut connection = self.connection.clone();
        let mut call = STORE.key(self.key(write.key));
        call.arg(&bytes[..])
            .arg(&write.trusted_until.to_be_bytes()[..])
            .arg(write.ttl.map_or_else(String::new, |ttl| millis(ttl).to_string()));
        let stored: i64 = self.bounded(call.invoke_async(&mut connection)).await?;
        Ok(if stored == 1 { StoreOutcome::Stored } else { StoreOutcome::Outdated })
    }

    async fn remove(&self, key: &[u8]) -> Result<bool, RemoteError> {
        let mut connection = self.connection.clone();
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(self.key(key));
        let removed: i64 = self.bounded(unlink.query_async(&mut connection)).await?;
        Ok(removed > 0)
    }

    async fn purge(&self, matches: KeyMatcher<'_>, before: Stamp) -> Result<u64, RemoteError> {
        let (mut cursor, mut purged) = (0, 0);
        loop {
            let (next, keys) = self.scan(cursor).await?;
            let prefix = self.config.prefix.as_bytes();
            let matching: Vec<&Vec<u8>> =
                keys.iter().filter(|key| key.strip_prefix(prefix).is_some_and(matches)).collect();
            if !matching.is_empty() {
                let mut connection = self.connection.clone();
                let mut call = PURGE.arg(&before.to_bytes()[..]);
                for key in matching {
                    call.key(&key[..]);
                }
                let removed: u64 = self.bounded(call.invoke_async(&mut connection)).await?;
                purged += removed;
            }
            if next == 0 {
                return Ok(purged);
            }
            cursor = next;
        }
    }
}

#[async_trait]
impl RemoteLock for RedisTier {
    async fn acquire(&self, key: &[u8], token: LockToken, lease: Duration) -> Result<bool, RemoteError> {
        let mut connection = self.connection.clone();
        let mut call = ACQUIRE.key(self.lock_key(key));
        call.arg(token.to_text()).arg(millis(lease));
        let taken: i64 = self.bounded(call.invoke_async(&mut connection)).await?;
        Ok(taken == 1)
    }

    async fn release(&self, key: &[u8], token: LockToken) -> Result<bool, RemoteError> {
        let mut connection = self.connection.clone();
        let mut call = RELEASE.key(self.lock_key(key));
        call.arg(token.to_text());
        let released: i64 = self.bounded(call.invoke_async(&mut connection)).await?;
        Ok(released == 1)
    }
}

pub(crate) fn client(url: &str) -> Result<Client, ConfigError> {
    Client::open(url)
        .map_err(|_| ConfigError::new("url", "(not shown)", "an address such as `redis://127.0.0.1:6379/0`"))
}

pub(crate) fn manager(url: &str, timeout: Duration, connect: Duration) -> Result<ConnectionManager, ConfigError> {
    for (field, value) in [("timeout", timeout), ("connect_timeout", connect)] {
        if value.is_zero() {
            return Err(ConfigError::new(field, "0 ns", "more than zero"));
        }
    }
    // The breaker and the queue are what retries: the manager makes one attempt per call.
    let settings = ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_response_timeout(Some(timeout))
        .set_connection_timeout(Some(connect));
    ConnectionManager::new_lazy_with_config(client(url)?, settings)
        .map_err(|error| ConfigError::new("url", "(not shown)", error.to_string()))
}

pub(crate) async fn bounded<T>(limit: Duration, call: impl Future<Output = RedisResult<T>>) -> Result<T, RemoteError> {
    match tokio::time::timeout(limit, call).await {
        Ok(outcome) => outcome.map_err(|error| remote_error(error, limit)),
        Err(_) => Err(RemoteError::timed_out(limit)),
    }
}

fn remote_error(error: RedisError, limit: Duration) -> RemoteError {
    // What a server says while it starts, loads its data or gives its place to another passes by itself.
    let passing =
        matches!(error.code(), Some("LOADING" | "BUSY" | "MASTERDOWN" | "READONLY" | "TRYAGAIN" | "CLUSTERDOWN"));
    if error.is_timeout() {
        RemoteError::timed_out(limit)
    } else if passing || error.is_io_error() || error.is_connection_refusal() || error.is_connection_dropped() {
        RemoteError::unreachable(error)
    } else {
        RemoteError::refused(error)
    }
}

fn millis(time: Duration) -> u64 {
    // Redis keeps these as signed numbers and adds its own time: a hundred years are for ever.
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).clamp(1, 100 * 365 * 24 * 3_600_000)
}

/// A pattern for all keys with this prefix.
fn escaped(prefix: &str) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for byte in prefix.bytes() {
        if b"*?[]^-\\".contains(&byte) {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern.push(b'*');
    pattern
}

/// `stamp(key)` in the scripts: the 20 bytes behind the head of an envelope of version 1, or `nil`.
/// Lua compares strings as the locale says, so they are compared byte by byte.
macro_rules! script {
    ($body:literal) => {
        LazyLock::new(|| {
            Script::new(concat!(
                r#"
local function stamp(key)
  if redis.call("TYPE", key).ok ~= "string" then return nil end
  local head = redis.call("GETRANGE", key, 0, 27)
  if #head ~= 28 or string.sub(head, 1, 5) ~= "BPCE\1" then return nil end
  return string.sub(head, 9, 28)
end
local function above(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x > y end
  end
  return false
end
"#,
                $body
            ))
        })
    };
}

static STORE: LazyLock<Script> = script!(
    r#"
local stored = stamp(KEYS[1])
if stored and not above(string.sub(stored, 1, 8), ARGV[2]) and above(stored, string.sub(ARGV[1], 9, 28)) then
  return 0
end
if ARGV[3] == "" then redis.call("SET", KEYS[1], ARGV[1]) else redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[3]) end
return 1
"#
);

static PURGE: LazyLock<Script> = script!(
    r#"
local purged = 0
for _, key in ipairs(KEYS) do
  local stored = stamp(key)
  if not stored or above(ARGV[1], stored) then purged = purged + redis.call("DEL", key) end
end
return purged
"#
);

static ACQUIRE: LazyLock<Script> = script!(
    r#"
local holder = redis.call("GET", KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
return 1
"#
);

static RELEASE: LazyLock<Script> = script!(
    r#"
if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end
return 0
"#
);
