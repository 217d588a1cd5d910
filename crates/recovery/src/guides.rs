//! The guide's pages, whose blocks are compiled and run as tests; a packaged crate has no such files.

macro_rules! page {
    ($name:ident, $file:literal) => {
        #[doc = include_str!(concat!("../../../docs/src/guides/", $file))]
        struct $name;
    };
}

page!(Guide, "recovery.md");
page!(Ordering, "recovery/ordering.md");
page!(Retry, "recovery/retry.md");
page!(Budget, "recovery/budget.md");
page!(Timeout, "recovery/timeout.md");
page!(Breaker, "recovery/breaker.md");
page!(Bulkhead, "recovery/bulkhead.md");
page!(AdaptiveLimit, "recovery/adaptive-limit.md");
page!(RateLimit, "recovery/rate-limit.md");
page!(Throttle, "recovery/throttle.md");
page!(Hedge, "recovery/hedge.md");
page!(Fallback, "recovery/fallback.md");
page!(Chaos, "recovery/chaos.md");
page!(Registry, "recovery/registry.md");
page!(Errors, "recovery/errors.md");
page!(Tower, "recovery/tower.md");
page!(Blocking, "recovery/blocking.md");
