//! The peers' policies, set up to do what ours do.

/// `tower-resilience`, one layer after the other as its users stack them.
pub(crate) mod resilience {
    use std::time::Duration;

    use tower::{Layer as _, Service, ServiceBuilder};
    use tower_resilience::bulkhead::BulkheadLayer;
    use tower_resilience::circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer, SlidingWindowType};
    use tower_resilience::retry::RetryLayer;
    use tower_resilience::timelimiter::{FixedTimeout, TimeLimiterError, TimeLimiterLayer};

    use crate::work::{Broken, Fate, Request, Shared, service};
    use crate::{ATTEMPT, PLACES, RETRIES, TOTAL};

    pub(crate) fn timeout(limit: Duration) -> TimeLimiterLayer<FixedTimeout> {
        TimeLimiterLayer::builder().timeout_duration(limit).build()
    }

    pub(crate) fn bulkhead() -> BulkheadLayer {
        let places = usize::try_from(PLACES).expect("a small number");
        BulkheadLayer::builder().max_concurrent_calls(places).reject_when_full().build().expect("valid settings")
    }

    pub(crate) fn retry() -> RetryLayer<Request, u64, Broken> {
        RetryLayer::builder()
            .max_attempts(RETRIES + 1)
            .fixed_backoff(Duration::ZERO)
            .retry_on(Broken::is_transient)
            .build()
    }

    /// Over the last hundred calls, which is the faster of its two windows.
    pub(crate) fn breaker() -> CircuitBreakerLayer {
        CircuitBreakerLayer::builder()
            .failure_rate_threshold(0.5)
            .sliding_window_size(100)
            .minimum_number_of_calls(20)
            .build()
            .expect("valid settings")
    }

    /// Over so long a time that nothing leaves the window while a bench runs.
    pub(crate) fn timed_breaker() -> CircuitBreakerLayer {
        CircuitBreakerLayer::builder()
            .failure_rate_threshold(0.5)
            .sliding_window_type(SlidingWindowType::TimeBased)
            .sliding_window_duration(crate::LONG)
            .minimum_number_of_calls(20)
            .slow_call_duration_threshold(ATTEMPT)
            .slow_call_rate_threshold(0.5)
            .build()
            .expect("valid settings")
    }

    pub(crate) fn broken_breaker() -> CircuitBreakerLayer {
        CircuitBreakerLayer::builder()
            .consecutive_failures(1)
            .wait_duration_in_open(crate::LONG)
            .build()
            .expect("valid settings")
    }

    /// Bulkhead, time limit, retry, time limit, breaker.
    pub(crate) fn stack(
        fate: Fate,
    ) -> Shared<impl Service<Request, Response = u64, Error: std::fmt::Debug> + Clone + Send> {
        let retry = RetryLayer::<Request, u64, TimeLimiterError<CircuitBreakerError<Broken>>>::builder()
            .max_attempts(RETRIES + 1)
            .fixed_backoff(Duration::ZERO)
            .retry_on(|error: &TimeLimiterError<CircuitBreakerError<Broken>>| match error {
                TimeLimiterError::Timeout => true,
                TimeLimiterError::Inner(CircuitBreakerError::Inner(error)) => error.is_transient(),
                TimeLimiterError::Inner(_) => false,
            })
            .build();
        let inner = ServiceBuilder::new().layer(timeout(ATTEMPT)).layer(breaker()).service(service(fate));
        let outer = ServiceBuilder::new().layer(bulkhead()).layer(timeout(TOTAL)).service(retry.layer(inner));
        Shared::new(outer)
    }
}

/// `seatbelt`, as plain services and as `tower` layers.
pub(crate) mod seatbelt {
    use std::time::Duration;

    use layered::{Execute, Service, Stack as _};
    use seatbelt::breaker::Breaker;
    use seatbelt::fallback::Fallback;
    use seatbelt::hedging::Hedging;
    use seatbelt::retry::Retry;
    use seatbelt::timeout::Timeout;
    use seatbelt::{RecoveryInfo, ResilienceContext};
    use tick::Clock;

    use crate::work::{Broken, Fate, Request, block_on, operation, service};
    use crate::{ATTEMPT, RETRIES, TOTAL};

    type Answer = Result<u64, Broken>;

    /// A breaker over ten seconds, judged like ours.
    pub(crate) fn breaker(fate: Fate) -> impl Service<Request, Out = Answer> {
        let context = context();
        (breaker_layer!(context), call(fate)).into_service()
    }

    pub(crate) fn broken_breaker(fate: Fate) -> impl Service<Request, Out = Answer> {
        let context = context();
        let layer = breaker_layer!(context).failure_threshold(0.01).min_throughput(2).break_duration(crate::LONG);
        (layer, call(fate)).into_service()
    }

    pub(crate) fn retry(fate: Fate) -> impl Service<Request, Out = Answer> {
        let context = context();
        (retry_layer!(context), call(fate)).into_service()
    }

    pub(crate) fn timeout(fate: Fate) -> impl Service<Request, Out = Answer> {
        let context = context();
        (timeout_layer!(context, TOTAL), call(fate)).into_service()
    }

    pub(crate) fn fallback(fate: Fate) -> impl Service<Request, Out = Answer> {
        let context = context();
        let layer = Fallback::layer("fallback", &context).should_fallback(Result::is_err).fallback_output(Ok(0));
        (layer, call(fate)).into_service()
    }

    pub(crate) fn hedging(fate: Fate) -> impl Service<Request, Out = Answer> {
        let context = context();
        let layer = Hedging::layer("hedging", &context)
            .clone_input()
            .recovery_with(|answer: &Answer, _| judged(answer))
            .hedging_delay(ATTEMPT);
        (layer, call(fate)).into_service()
    }

    /// Time limit, retry, time limit, breaker: it has no bulkhead.
    pub(crate) fn stack(fate: Fate) -> impl Service<Request, Out = Answer> {
        let context = context();
        (
            timeout_layer!(context, TOTAL),
            retry_layer!(context),
            timeout_layer!(context, ATTEMPT),
            breaker_layer!(context),
            call(fate),
        )
            .into_service()
    }

    /// The same four as layers of `tower`.
    pub(crate) fn tower_stack(
        fate: Fate,
    ) -> impl tower::Service<Request, Response = u64, Error = Broken> + Clone + Send {
        let context = context();
        tower::ServiceBuilder::new()
            .layer(timeout_layer!(context, TOTAL))
            .layer(retry_layer!(context))
            .layer(timeout_layer!(context, ATTEMPT))
            .layer(breaker_layer!(context))
            .service(service(fate))
    }

    fn context() -> ResilienceContext<Request, Answer> {
        ResilienceContext::new(block_on(async { Clock::new_tokio() }))
    }

    fn call(fate: Fate) -> impl Service<Request, Out = Answer> {
        Execute::new(move |request: Request| operation(request.n, request.attempt, fate))
    }

    fn judged(answer: &Answer) -> RecoveryInfo {
        match answer {
            Err(error) if error.is_transient() => RecoveryInfo::retry(),
            _ => RecoveryInfo::never(),
        }
    }

    /// Their builders change type with each setting; these are macros so that none has to be written out.
    macro_rules! breaker_layer {
        ($context:expr) => {
            Breaker::layer("breaker", &$context)
                .recovery_with(|answer: &Answer, _| judged(answer))
                .rejected_input_error(|_, _| Broken::Rejected)
                .failure_threshold(0.5)
                .min_throughput(20)
                .sampling_duration(Duration::from_secs(10))
        };
    }
    macro_rules! retry_layer {
        ($context:expr) => {
            Retry::layer("retry", &$context)
                .clone_input()
                .recovery_with(|answer: &Answer, _| judged(answer))
                .max_retry_attempts(u32::try_from(RETRIES).expect("a small number"))
                .base_delay(Duration::ZERO)
        };
    }
    macro_rules! timeout_layer {
        ($context:expr, $limit:expr) => {
            Timeout::layer("timeout", &$context).timeout_error(|_| Broken::Elapsed).timeout($limit)
        };
    }
    use {breaker_layer, retry_layer, timeout_layer};
}
