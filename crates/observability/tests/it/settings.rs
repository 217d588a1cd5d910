//! Settings: from the code, from the environment, and as the doctor tells them.

use std::time::Duration;

use bedplate_observability::{ConfigError, Logs, Observability, Source, Traces};

fn with(vars: &[(&str, &str)]) -> Result<Observability, ConfigError> {
    let var = |name: &str| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Observability::builder("code").logs(Logs::json().writer(std::io::sink())).with_vars(var)?.build()
}

#[test]
fn the_environment_is_applied_and_its_nonsense_named() {
    let telemetry = with(&[
        ("OTEL_SERVICE_NAME", "shop"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=ignored, team=a%20b,empty="),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "7"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "9"),
        ("OTEL_LOG_LEVEL", "WARN"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", ""),
    ])
    .unwrap();
    assert_eq!(telemetry.service(), "shop");
    assert_eq!(telemetry.resource().attributes["team"], "a b".into());
    let doctor = telemetry.doctor();
    let setting = |name: &str| doctor.settings.iter().find(|one| one.name == name).unwrap().clone();
    let from = |name: &str| Source::Environment(name.to_owned());
    assert_eq!(setting("service.name").source, from("OTEL_SERVICE_NAME"));
    assert_eq!(setting("traces.baseline").value, "0.25 of all");
    assert_eq!(setting("traces.attributes_per_span").value, "7");
    assert_eq!(setting("traces.events_per_span").source, from("OTEL_SPAN_EVENT_COUNT_LIMIT"));
    assert_eq!(setting("traces.links_per_span").source, Source::Default);
    assert_eq!((setting("logs.filter").value.as_str(), setting("logs.queue").source), ("warn", Source::Code));

    for (name, value) in [
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_RESOURCE_ATTRIBUTES", "no pair"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=%zz"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "many"),
        ("OTEL_LOG_LEVEL", "loud"),
    ] {
        let error = with(&[(name, value)]).unwrap_err();
        assert_eq!(error.field, name);
        assert!(error.value.contains(value), "{error}");
    }
    let share = with(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")]).unwrap_err();
    assert_eq!(share.field, "OTEL_TRACES_SAMPLER_ARG");
}

#[test]
fn disabled_telemetry_does_nothing() {
    let telemetry = with(&[("OTEL_SDK_DISABLED", "true")]).unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        assert!(tracing::info_span!("a", operation = "a").is_disabled());
    });
    assert!(telemetry.shutdown(Duration::from_secs(1)).flushed);
}

#[test]
fn settings_out_of_bounds_are_named() {
    let field = |traces: Traces| Observability::builder("it").traces(traces).build().unwrap_err().field;
    assert_eq!(field(Traces::new().baseline(1.5)), "traces.baseline");
    assert_eq!(field(Traces::new().baseline(f64::NAN)), "traces.baseline");
    assert_eq!(field(Traces::new().recorder_bytes(1)), "traces.recorder_bytes");
    assert_eq!(field(Traces::new().attributes_per_span(0)), "traces.attributes_per_span");
    assert_eq!(field(Traces::new().max_active(1)), "traces.max_active");
}

#[test]
fn the_doctor_runs_its_checks() {
    let telemetry = with(&[]).unwrap();
    telemetry.add_check("collector", || Err("nobody answers".to_owned()));
    telemetry.add_check("disk", || Ok("writable".to_owned()));
    let doctor = telemetry.doctor();
    assert!(!doctor.is_healthy());
    let text = doctor.to_string();
    assert!(text.contains("FAIL collector") && text.contains("nobody answers") && text.contains("ok   disk"), "{text}");
    assert!(text.contains("traces.recorder_bytes") && text.contains("33554432"), "{text}");
}

#[test]
fn a_check_may_look_at_the_telemetry_and_add_another() {
    let telemetry = Observability::builder("test").build().unwrap();
    let own = telemetry.clone();
    telemetry.add_check("looks", move || {
        own.add_check("late", || Ok(String::new()));
        Ok(format!("{own:?}"))
    });
    let (tell, told) = std::sync::mpsc::channel();
    let asked = telemetry.clone();
    std::thread::spawn(move || tell.send(asked.doctor()).unwrap());
    let doctor = told.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!((doctor.findings.len(), telemetry.doctor().findings.len()), (1, 2));
}

#[test]
fn a_share_replaces_all() {
    let var = |name: &str| (name == "OTEL_TRACES_SAMPLER").then(|| "always_off".to_owned());
    let telemetry =
        Observability::builder("test").traces(Traces::new().keep_all()).with_vars(var).unwrap().build().unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || drop(tracing::info_span!("a")));
    assert_eq!(telemetry.trace_stats().kept, 0);
}
