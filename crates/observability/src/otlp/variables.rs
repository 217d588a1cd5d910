//! The environment variables of OTLP exporters (OpenTelemetry specification, "OTLP Exporter Configuration").

use std::time::Duration;

use super::config::Otlp;
use super::target::{Compression, Protocol, Target, shown};
use crate::environment::decode;
use crate::{ConfigError, Signal};

/// The names of what all signals have in common, and of each signal's own.
struct Names {
    endpoint: &'static str,
    protocol: &'static str,
    headers: &'static str,
    timeout: &'static str,
    compression: &'static str,
}

macro_rules! names {
    ($infix:literal) => {
        Names {
            endpoint: concat!("OTEL_EXPORTER_OTLP_", $infix, "ENDPOINT"),
            protocol: concat!("OTEL_EXPORTER_OTLP_", $infix, "PROTOCOL"),
            headers: concat!("OTEL_EXPORTER_OTLP_", $infix, "HEADERS"),
            timeout: concat!("OTEL_EXPORTER_OTLP_", $infix, "TIMEOUT"),
            compression: concat!("OTEL_EXPORTER_OTLP_", $infix, "COMPRESSION"),
        }
    };
}

const ALL: Names = names!("");
const OWN: [(Signal, &str, Names); 3] = [
    (Signal::Traces, "OTEL_TRACES_EXPORTER", names!("TRACES_")),
    (Signal::Logs, "OTEL_LOGS_EXPORTER", names!("LOGS_")),
    (Signal::Metrics, "OTEL_METRICS_EXPORTER", names!("METRICS_")),
];
const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";

pub(super) fn read(var: &dyn Fn(&str) -> Option<String>) -> Result<Otlp, ConfigError> {
    // An empty value counts as none, as the specification asks.
    let var = |name: &str| var(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let mut otlp = Otlp::new("");
    for (signal, exporter, own) in OWN {
        let place = otlp.targets.get_mut(signal.index());
        let Some(place) = place else { continue };
        match var(exporter).as_deref() {
            Some("none") => {
                *place = None;
                continue;
            }
            None | Some("otlp") => {}
            Some(other) => return Err(wrong(exporter, other, "otlp or none")),
        }
        *place = Some(target(&var, &own)?);
    }
    if let Some(interval) = var(INTERVAL) {
        otlp = otlp.metric_interval(millis(INTERVAL, &interval)?);
    }
    Ok(otlp)
}

fn target(var: &dyn Fn(&str) -> Option<String>, own: &Names) -> Result<Target, ConfigError> {
    let either =
        |one: fn(&Names) -> &'static str| [one(own), one(&ALL)].into_iter().find_map(|name| Some((name, var(name)?)));
    let protocol = match either(|names| names.protocol) {
        Some((name, value)) => {
            Protocol::parse(&value).ok_or_else(|| wrong(name, &value, "grpc, http/protobuf or http/json"))?
        }
        None => Protocol::HttpProtobuf,
    };
    let endpoint = either(|names| names.endpoint);
    let default = if protocol == Protocol::Grpc { "http://localhost:4317" } else { "http://localhost:4318" };
    let mut target = Target::new(endpoint.as_ref().map_or(default, |(_, value)| value.as_str()).to_owned());
    target.protocol = protocol;
    if let Some((name, value)) = &endpoint {
        target.verbatim = *name == own.endpoint;
        target.validate().map_err(|_| wrong(name, &shown(value), "an http or https URL"))?;
    }
    if let Some((name, value)) = either(|names| names.headers) {
        target.headers = headers(name, &value)?;
    }
    if let Some((name, value)) = either(|names| names.timeout) {
        target.timeout = millis(name, &value)?;
    }
    if let Some((name, value)) = either(|names| names.compression) {
        target.compression = match value.as_str() {
            "gzip" => Compression::Gzip,
            "none" => Compression::None,
            _ => return Err(wrong(name, &value, "gzip or none")),
        };
    }
    Ok(target)
}

/// `name=value` pairs by commas; values may be percent-encoded. They may be credentials, so an error shows none.
fn headers(name: &'static str, text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let expected = "name=value pairs separated by commas";
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (header, value) = pair.split_once('=').ok_or_else(|| wrong(name, "without =", expected))?;
            let value = decode(value.trim()).ok_or_else(|| wrong(name, header, "values of valid percent-encoding"))?;
            Ok((header.trim().to_owned(), value))
        })
        .collect()
}

fn millis(name: &'static str, value: &str) -> Result<Duration, ConfigError> {
    value.parse().map(Duration::from_millis).map_err(|_| wrong(name, value, "milliseconds, a whole number"))
}

fn wrong(field: &'static str, value: &str, expected: &'static str) -> ConfigError {
    ConfigError { field, value: format!("{value:?}"), expected }
}
