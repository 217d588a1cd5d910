//! A call site that nobody wants.

use bedplate_benches::Suite;
use bedplate_observability::Observability;
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::OURS;

pub(crate) fn run(suite: &mut Suite) {
    if !suite.wants("disabled") {
        return;
    }
    let telemetry = Observability::builder("bench").build().expect("valid settings");
    let ours = telemetry.dispatch();
    let peer = Dispatch::new(tracing_subscriber::registry().with(LevelFilter::INFO));
    let none = Dispatch::none();
    let run = |dispatch: &Dispatch, iterations| {
        tracing::dispatcher::with_default(dispatch, || {
            for n in 0..iterations {
                let span = tracing::debug_span!("charge card", order = n, currency = "EUR");
                span.in_scope(|| tracing::debug!(attempt = n, "charged"));
            }
        });
    };
    suite
        .case("disabled")
        .ours(OURS, |work| run(&ours, work.iterations))
        .peer("tracing-subscriber", |work| run(&peer, work.iterations))
        .peer("no subscriber", |work| run(&none, work.iterations))
        .run();
}
