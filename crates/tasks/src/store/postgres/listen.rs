use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgNotification, PgPool, PgPoolOptions};
use tokio::time::{Instant, sleep, timeout};

use crate::id::TaskId;
use crate::store::postgres::link::Link;
use crate::store::signal::Signal;

/// Hears of changes in other processes as long as the store lives.
pub(super) async fn listen(link: Link, options: PgConnectOptions) {
    let pool =
        PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(5)).connect_lazy_with(options);
    let (mut pause, mut before, mut warned) = (SOONEST, false, false);
    loop {
        let began = Instant::now();
        match hear(&link, &pool, &mut before, &mut warned).await {
            Ok(()) => tracing::debug!(store = super::NAME, "the connection that listens was lost"),
            Err(error) => tracing::debug!(store = super::NAME, %error, "listening failed"),
        }
        link.pushes.store(false, Ordering::Relaxed);
        // Whoever waits looks by itself until notifications arrive again.
        link.wake();
        if began.elapsed() > LATEST {
            pause = SOONEST;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LATEST);
    }
}

/// Listens until the connection is lost.
async fn hear(link: &Link, pool: &PgPool, before: &mut bool, warned: &mut bool) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    // The engine's own channel tells of new jobs, whoever put them in.
    listener.listen_all(["jobs:insert", &link.schema]).await?;
    register(link).await?;
    ping(link).await?;
    if *before {
        link.tell(Signal::Reconnected);
        link.wake();
    }
    *before = true;
    let mut registered = Instant::now();
    let mut asked = Some(Instant::now());
    loop {
        let patience = if asked.is_some() { ECHO } else { REGISTER };
        match timeout(patience, listener.try_recv()).await {
            Ok(Ok(Some(told))) => {
                asked = None;
                link.pushes.store(true, Ordering::Relaxed);
                take(link, &told);
            }
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) if asked.take().is_some() => {
                link.pushes.store(false, Ordering::Relaxed);
                if !*warned {
                    *warned = true;
                    tracing::warn!(
                        store = super::NAME,
                        "notifications do not arrive, so that waiting claims poll; \
                        give `listen_url` a connection without a pooler"
                    );
                }
            }
            Err(_) => {}
        }
        if registered.elapsed() >= REGISTER {
            registered = Instant::now();
            register(link).await?;
            // Its echo shows that the connection still lives.
            ping(link).await?;
            asked = Some(registered);
        }
    }
}

/// Lets the others know that somebody listens; they tell nothing otherwise.
async fn register(link: &Link) -> Result<(), sqlx::Error> {
    let sql = link.sql(
        "insert into @side@.listeners values ($1, @side@.now_us() + 30000000) \
         on conflict (id) do update set until = excluded.until",
    );
    sqlx::query(sql).bind(&*link.me).execute(&link.pool).await.map(drop)
}

async fn ping(link: &Link) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_notify($1, $2)")
        .bind(&*link.schema)
        .bind(format!("{}:ping", link.me))
        .execute(&link.pool)
        .await
        .map(drop)
}

fn take(link: &Link, told: &PgNotification) {
    if told.channel() != &*link.schema {
        link.wake();
        return;
    }
    let mut words = told.payload().splitn(3, ':');
    let (from, what, ids) = (words.next(), words.next(), words.next());
    if from == Some(&*link.me) {
        return;
    }
    let signal: fn(TaskId) -> Signal = match what {
        Some("e") => Signal::Ended,
        Some("p") => Signal::Progress,
        Some("c") => Signal::Cancel,
        Some("r") => return link.wake(),
        Some("x") => return link.tell(Signal::Changed),
        _ => return,
    };
    for id in ids.unwrap_or_default().split(',').filter_map(|id| id.parse().ok()) {
        link.tell(signal(id));
    }
}

/// How soon a lost connection is made again, and how late at most.
const SOONEST: Duration = Duration::from_millis(50);
const LATEST: Duration = Duration::from_secs(1);
/// Within this time one's own ping comes back, or notifications do not arrive.
const ECHO: Duration = Duration::from_secs(2);
/// How often it is said that somebody listens.
const REGISTER: Duration = Duration::from_secs(10);
