use std::time::Duration;

use bedplate_recovery::{
    Answer, Backoff, BreakerConfig, BreakerMachine, CircuitBreaker, ErrorClass, Failure, Fallback, Identity, Pipeline,
    Quality, Retry, RetryConfig, Stack, Timeout, TimeoutConfig, WindowKind,
};

use crate::support::{Fault, TRANSIENT};

fn sendable<T: Send>(_: &T) {}

fn assert_shared<T: Send + Sync>(_: &T) {}

#[test]
fn everything_is_send_and_sync() {
    fn of<T: Send + Sync>() {}
    of::<Pipeline<Stack<Stack<Identity, Retry>, CircuitBreaker>>>();
    of::<CircuitBreaker>();
    of::<BreakerMachine>();
    of::<Failure<Fault>>();
    of::<Answer<u8>>();
    of::<Fallback>();
    let pipeline = Pipeline::builder("x").build().unwrap();
    let call = pipeline.run(|_| async { Err::<(), _>(TRANSIENT) });
    sendable(&call);
    assert_shared(&pipeline);
}

#[test]
fn bad_settings_are_named_with_what_is_expected() {
    let day = Duration::from_hours(24);
    let cases = [
        (Pipeline::builder("x").timeout(Duration::ZERO).build().err(), "timeout.limit is 0ns"),
        (Pipeline::builder("x").timeout(Duration::MAX).build().err(), "at most 366 days"),
        (Pipeline::builder("x").retry(Retry::constant(day).max_attempts(0)).build().err(), "retry.max_attempts is 0"),
        (Pipeline::builder("x").retry(Retry::new(Backoff::constant(Duration::MAX))).build().err(), "backoff.base"),
        (
            Pipeline::builder("x").retry(Retry::new(Backoff::linear(day).factor(f64::NAN))).build().err(),
            "backoff.factor is NaN",
        ),
    ];
    for (error, expected) in cases {
        let told = error.expect("the setting is refused").to_string();
        assert!(told.contains(expected), "{told}");
    }
    let breakers = [
        (CircuitBreaker::builder("x").failure_rate(0.0), "failure_rate is 0"),
        (CircuitBreaker::builder("x").failure_rate(1.1), "at most 1.0"),
        (CircuitBreaker::builder("x").failure_rate(f64::NAN), "failure_rate is NaN"),
        (CircuitBreaker::builder("x").count_window(5).minimum_calls(6), "minimum_calls is 6"),
        (CircuitBreaker::builder("x").count_window(0), "window.count is 0"),
        (CircuitBreaker::builder("x").open_for(Duration::ZERO), "open_for is 0ns"),
        (CircuitBreaker::builder("x").half_open(bedplate_recovery::HalfOpen::Rate(0)), "half_open is 0"),
        (CircuitBreaker::builder("x").permit_ttl(Duration::MAX), "permit_ttl"),
        (CircuitBreaker::builder("x").time_window(Duration::from_nanos(3)), "window.period is 3ns"),
    ];
    for (builder, expected) in breakers {
        let told = builder.build().unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }
    assert!(Quality::new(f64::NAN).is_err() && Quality::new(-0.1).is_err());
    assert!(Quality::new(1.0).is_ok());
}

#[test]
fn settings_are_data_and_unknown_ones_are_refused() {
    let config: BreakerConfig =
        serde_json::from_str(r#"{"window":{"count":40},"trip":{"failure_rate":0.25}}"#).unwrap();
    assert_eq!(config.window, WindowKind::Count(40));
    let again: BreakerConfig = serde_json::from_str(&serde_json::to_string(&config).unwrap()).unwrap();
    assert_eq!(again, config);
    assert!(serde_json::from_str::<BreakerConfig>(r#"{"windw":1}"#).is_err());
    assert!(serde_json::from_str::<RetryConfig>(r#"{"attempts":1}"#).is_err());
    assert!(serde_json::from_str::<TimeoutConfig>(r#"{"limits":1}"#).is_err());
    assert!(serde_json::from_str::<Answer<u8>>(r#"{"value":1,"quality":1.5,"source":"x","attempts":1}"#).is_err());
    let _: Timeout = TimeoutConfig::default().into();
}

#[test]
fn a_failure_tells_its_class_its_delay_and_its_source() {
    let delay = Some(Duration::from_secs(7));
    let throttled = Failure::from(Fault(ErrorClass::Throttled { after: delay }));
    assert_eq!(throttled.retry_after(), delay);
    assert!(throttled.is_transient() && !throttled.is_refusal());
    let source = std::error::Error::source(&throttled).expect("the caller's error is the source");
    assert!(source.downcast_ref::<Fault>().is_some());
    assert!(!throttled.to_string().contains("Throttled"), "the source is not repeated");
    assert!(!Failure::from(Fault(ErrorClass::CallerFault)).is_transient());
    assert_eq!(throttled.into_error(), Some(Fault(ErrorClass::Throttled { after: delay })));
}
