//! Health checks by themselves: a dependency fails, the state goes down step by step, and comes back.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bedplate_health::{Component, Health, Policy, Status};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let works = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&works);
    let health = Health::builder("orders")
        .policy(Policy::default().interval(Duration::from_millis(20)).timeout(Duration::from_secs(1)))
        .component(Component::new("disk").check_fn(|| async { std::fs::metadata(".").map(drop) }))
        .component(Component::new("database").check_fn(move || {
            let works = seen.load(Ordering::Relaxed);
            async move { if works { Ok(()) } else { Err("connection refused") } }
        }))
        .start()?;
    let mut changes = health.subscribe();

    let mut database = Vec::new();
    while database.last() != Some(&Status::Critical) {
        let (component, change) = changes.recv().await?;
        let cause = change.cause.as_deref().unwrap_or("all is well");
        println!("{component:<10} {:<9} {cause}", change.to);
        if component == "database" {
            database.push(change.to);
            works.store(false, Ordering::Relaxed);
        }
    }
    println!("\n{}\n", health.snapshot());

    works.store(true, Ordering::Relaxed);
    let (component, change) = changes.recv().await?;
    println!("{component:<10} {:<9} recovered", change.to);
    health.shutdown().await;

    let path = [Status::Healthy, Status::Degraded, Status::Unhealthy, Status::Critical];
    if database == path && change.to == Status::Healthy {
        Ok(())
    } else {
        Err("the states came in another order".into())
    }
}
