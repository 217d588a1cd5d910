//! Settings from OpenTelemetry's environment variables, read only where it is asked for.

use crate::ConfigError;
use crate::trace::AttributeValue;

/// What the environment says, before it is applied.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub(crate) service: Option<String>,
    pub(crate) resource: Vec<(String, AttributeValue)>,
    pub(crate) sampler: Option<Sampler>,
    pub(crate) limits: Vec<(&'static str, usize)>,
    pub(crate) log_level: Option<String>,
    pub(crate) disabled: bool,
    /// The variable that names a collector, which is the exporter's to read.
    pub(crate) endpoint: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sampler {
    All,
    None,
    Share(f64),
}

pub(crate) const ATTRIBUTES: &str = "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT";
pub(crate) const EVENTS: &str = "OTEL_SPAN_EVENT_COUNT_LIMIT";
pub(crate) const LINKS: &str = "OTEL_SPAN_LINK_COUNT_LIMIT";
pub(crate) const VALUE_BYTES: &str = "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT";
pub(crate) const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
pub(crate) const LOG_LEVEL: &str = "OTEL_LOG_LEVEL";
pub(crate) const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
pub(crate) const SERVICE: &str = "OTEL_SERVICE_NAME";
pub(crate) const DISABLED: &str = "OTEL_SDK_DISABLED";

impl Environment {
    /// Reads what is set; an empty value counts as none, as the specification asks.
    pub(crate) fn read(var: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let var = |name: &str| var(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let mut limits = Vec::new();
        // The general limits hold where there is none for spans.
        for (name, general) in [
            (ATTRIBUTES, Some("OTEL_ATTRIBUTE_COUNT_LIMIT")),
            (VALUE_BYTES, Some("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")),
            (EVENTS, None),
            (LINKS, None),
        ] {
            let found = var(name).map(|value| (name, value));
            if let Some((field, value)) = found.or_else(|| general.and_then(|name| Some((name, var(name)?)))) {
                let limit = value.parse().map_err(|_| wrong(field, &value, "a whole number"))?;
                limits.push((name, limit));
            }
        }
        Ok(Self {
            service: var(SERVICE),
            resource: var(RESOURCE).map_or_else(|| Ok(Vec::new()), |value| resource(&value))?,
            sampler: sampler(var(SAMPLER), var("OTEL_TRACES_SAMPLER_ARG"))?,
            limits,
            log_level: var(LOG_LEVEL).map(|value| level(&value)).transpose()?,
            endpoint: endpoint(&var),
            disabled: var(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")),
        })
    }
}

/// Finds a variable by which somebody asks for a collector, for a signal that is not turned off.
fn endpoint(var: &dyn Fn(&str) -> Option<String>) -> Option<&'static str> {
    const OWN: [(&str, &str); 3] = [
        ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        ("OTEL_LOGS_EXPORTER", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"),
        ("OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"),
    ];
    let mut wanted = OWN.into_iter().filter(|(exporter, _)| var(exporter).as_deref() != Some("none")).peekable();
    wanted.peek()?;
    let of_all = Some("OTEL_EXPORTER_OTLP_ENDPOINT").filter(|name| var(name).is_some());
    of_all.or_else(|| wanted.map(|(_, own)| own).find(|name| var(name).is_some()))
}

fn sampler(name: Option<String>, share: Option<String>) -> Result<Option<Sampler>, ConfigError> {
    let Some(name) = name else { return Ok(None) };
    match name.as_str() {
        "always_on" | "parentbased_always_on" => Ok(Some(Sampler::All)),
        "always_off" | "parentbased_always_off" => Ok(Some(Sampler::None)),
        "traceidratio" | "parentbased_traceidratio" => {
            let share = share.unwrap_or_else(|| "1.0".to_owned());
            let expected = "a share from 0.0 to 1.0";
            let number: f64 = share.parse().map_err(|_| wrong("OTEL_TRACES_SAMPLER_ARG", &share, expected))?;
            if !(0.0..=1.0).contains(&number) {
                return Err(wrong("OTEL_TRACES_SAMPLER_ARG", &share, expected));
            }
            Ok(Some(Sampler::Share(number)))
        }
        _ => Err(wrong(SAMPLER, &name, "always_on, always_off or traceidratio, each also with parentbased_")),
    }
}

fn level(value: &str) -> Result<String, ConfigError> {
    let lower = value.to_lowercase();
    match lower.as_str() {
        "trace" | "debug" | "info" | "warn" | "error" => Ok(lower),
        "none" | "off" => Ok("off".to_owned()),
        "fatal" => Ok("error".to_owned()),
        _ => Err(wrong(LOG_LEVEL, value, "trace, debug, info, warn, error or none")),
    }
}

/// `key=value` pairs by commas; values may be percent-encoded.
fn resource(value: &str) -> Result<Vec<(String, AttributeValue)>, ConfigError> {
    let expected = "key=value pairs separated by commas";
    let pairs = value.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, own) = pair.split_once('=').ok_or_else(|| wrong(RESOURCE, pair, expected))?;
            let decoded =
                decode(own.trim()).ok_or_else(|| wrong(RESOURCE, pair, "values of valid percent-encoding"))?;
            let name = name.trim();
            if name.is_empty() {
                return Err(wrong(RESOURCE, pair, expected));
            }
            Ok((name.to_owned(), AttributeValue::Text(decoded)))
        })
        .collect()
}

pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn wrong(field: &'static str, value: &str, expected: &'static str) -> ConfigError {
    ConfigError { field, value: format!("{value:?}"), expected }
}

/// A variable of this process.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment, called only on request")]
pub(crate) fn process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
