//! The state page: rendered here, without script, so that it works wherever a browser does.

use std::fmt::Write as _;
use std::time::Duration;

use bedplate_health::{Snapshot, Status};
use bedplate_observability::Metrics;

use crate::Bedplate;

const STYLE: &str = include_str!("page.css");

pub(super) fn render(system: &Bedplate) -> String {
    let health = system.health().snapshot();
    let mut page = String::with_capacity(16 * 1024);
    let status = health.status;
    push(
        &mut page,
        format_args!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta http-equiv=\"refresh\" content=\"5\"><title>bedplate: {status}</title><style>{STYLE}</style></head>\
             <body><header><h1>bedplate</h1><p class=\"badge {}\">{status}</p><p class=\"mode\">mode {}</p></header><main>",
            class(status),
            system.mode()
        ),
    );
    figures(&mut page, system);
    subsystems(&mut page, &health);
    operations(&mut page, &system.telemetry().metrics());
    settings(&mut page, system);
    page.push_str(
        "</main><footer><a href=\"health\">health</a> <a href=\"metrics\">metrics</a> \
         <span>This page renews itself every 5 seconds.</span></footer></body></html>",
    );
    page
}

fn figures(page: &mut String, system: &Bedplate) {
    let counters = system.counters();
    let cache = system.cache_stats();
    let tasks = system.tasks().stats();
    let hits = cache.hit_ratio().map_or_else(|| "–".to_owned(), |ratio| format!("{:.0} %", ratio * 100.0));
    let held = format!("{} in {}", cache.entries, bytes(cache.bytes));
    let workers = format!("{} of {}", tasks.running, tasks.workers);
    let figures = [
        ("Requests", counters.requests.to_string()),
        ("Failed", counters.failed.to_string()),
        ("Degraded", counters.degraded.to_string()),
        ("Retries", counters.retries.to_string()),
        ("Cache hits", hits),
        ("Cached answers", held),
        ("Busy workers", workers),
        ("Waiting", tasks.queued.to_string()),
    ];
    page.push_str("<section class=\"figures\">");
    for (name, value) in figures {
        push(page, format_args!("<div><b>{}</b><span>{name}</span></div>", escape(&value)));
    }
    page.push_str("</section>");
}

fn subsystems(page: &mut String, health: &Snapshot) {
    page.push_str("<section><h2>Subsystems</h2><ul class=\"subsystems\">");
    for (name, one) in &health.components {
        let age = one.age.map_or_else(|| "not checked yet".to_owned(), |age| format!("checked {} ago", short(age)));
        let reason = one.reason.as_deref().unwrap_or("");
        push(
            page,
            format_args!(
                "<li class=\"{}\"><b>{}</b><span class=\"badge {}\">{}</span><small>{}</small><p>{}</p><div class=\"strip\">",
                class(one.status),
                escape(name),
                class(one.status),
                one.status,
                escape(&age),
                escape(reason)
            ),
        );
        for record in one.history.checks.iter().rev().take(40).rev() {
            push(page, format_args!("<i class=\"{}\"></i>", class(record.status)));
        }
        page.push_str("</div></li>");
    }
    page.push_str("</ul></section>");
}

fn operations(page: &mut String, metrics: &Metrics) {
    page.push_str(
        "<section><h2>Operations</h2><div class=\"wide\"><table><thead><tr><th>Operation</th><th>Requests</th>\
         <th>Errors</th><th>p50</th><th>p95</th><th>p99</th></tr></thead><tbody>",
    );
    if metrics.operations.is_empty() {
        page.push_str("<tr><td colspan=\"6\">No request has ended yet.</td></tr>");
    }
    for (name, one) in &metrics.operations {
        push(
            page,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td>{} ({:.1} %)</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(name),
                one.requests,
                one.errors,
                one.error_rate * 100.0,
                short(one.p50),
                short(one.p95),
                short(one.p99)
            ),
        );
    }
    page.push_str("</tbody></table></div></section>");
}

fn settings(page: &mut String, system: &Bedplate) {
    page.push_str(
        "<section><details><summary><h2>Settings</h2></summary><div class=\"wide\"><table><thead><tr><th>Setting</th>\
         <th>Value</th><th>From</th></tr></thead><tbody>",
    );
    for setting in system.explain().settings {
        push(
            page,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&setting.key),
                escape(&setting.value.to_string()),
                escape(&setting.source.to_string())
            ),
        );
    }
    page.push_str("</tbody></table></div></details></section>");
}

const fn class(status: Status) -> &'static str {
    match status {
        Status::Healthy => "healthy",
        Status::Degraded => "degraded",
        Status::Unhealthy => "unhealthy",
        _ => "critical",
    }
}

fn short(duration: Duration) -> String {
    format!("{duration:.1?}")
}

fn bytes(count: u64) -> String {
    match count {
        0..1_024 => format!("{count} B"),
        1_024..1_048_576 => format!("{} KiB", count / 1_024),
        _ => format!("{} MiB", count / 1_048_576),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _infallible = page.write_fmt(text);
}
