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
    assert_eq!((setting("logs.filter").value.as_str(), setting("logs.queue").source), ("warn", Source::Default));

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

#[test]
fn the_doctor_tells_what_the_program_set_from_what_it_left() {
    let logs = Logs::json().queue(100).writer(std::io::sink());
    let telemetry = Observability::builder("test").logs(logs).traces(Traces::new().max_active(64)).build().unwrap();
    let text = telemetry.doctor().to_string();
    for (name, value, source) in [
        ("service.name", "test", "code"),
        ("logs.form", "json", "code"),
        ("logs.filter", "info", "default"),
        ("logs.queue", "100 lines", "code"),
        ("operations", "200", "default"),
        ("traces.max_active", "64", "code"),
        ("traces.baseline", "0.01 of all", "default"),
        ("traces.recorder_bytes", "33554432", "default"),
        ("traces.exporters", "none", "default"),
    ] {
        let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
        assert!(line.contains(value) && line.ends_with(&format!("({source})")), "{line}");
    }
    assert!(text.ends_with(')'), "{text:?}");
    let without = Observability::builder("test").build().unwrap();
    let form = without.settings().iter().find(|one| one.name == "logs.form").unwrap();
    assert_eq!((form.value.as_str(), &form.source), ("none", &Source::Default));
}

#[test]
fn an_endpoint_that_nothing_sends_to_is_a_finding() {
    let general = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hunter2@127.0.0.1:4318");
    let doctor = with(&[general]).unwrap().doctor();
    let [finding] = doctor.findings.as_slice() else { panic!("{doctor}") };
    assert!(!finding.ok && finding.check == "otlp" && finding.detail.contains(general.0), "{doctor}");
    assert!(!doctor.is_healthy() && !doctor.to_string().contains("hunter2"), "{doctor}");

    let off = ["OTEL_TRACES_EXPORTER", "OTEL_LOGS_EXPORTER", "OTEL_METRICS_EXPORTER"].map(|name| (name, "none"));
    let own = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://127.0.0.1:4318/v1/logs");
    for (vars, findings) in [
        (&[] as &[(&str, &str)], 0),
        (&[(general.0, " ")], 0),
        (&[own], 1),
        (&[own, off[0]], 1),
        (&[own, off[1]], 0),
        (&[general, off[1]], 1),
        (&[general, own, off[0], off[1], off[2]], 0),
        (&[general, ("OTEL_SDK_DISABLED", "true")], 0),
    ] {
        assert_eq!(with(vars).unwrap().doctor().findings.len(), findings, "{vars:?}");
    }
}

#[cfg(feature = "otlp")]
#[test]
fn an_endpoint_that_an_exporter_reads_is_none() {
    let var = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "http://127.0.0.1:1".to_owned());
    let otlp = bedplate_observability::otlp::Otlp::from_vars(var).unwrap();
    let telemetry = Observability::builder("test").with_vars(var).unwrap().otlp(otlp).build().unwrap();
    let doctor = telemetry.doctor();
    assert!(!doctor.findings.is_empty() && !doctor.to_string().contains("no exporter"), "{doctor}");
    drop(telemetry.shutdown(Duration::from_millis(50)));
}
