use crate::ConfigError;

/// What is kept of one span, under OpenTelemetry's names; what lies beyond is counted on the span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanLimits {
    pub(crate) attributes: usize,
    pub(crate) events: usize,
    pub(crate) event_attributes: usize,
    pub(crate) links: usize,
    pub(crate) value_bytes: usize,
    pub(crate) spans: usize,
}

impl Default for SpanLimits {
    fn default() -> Self {
        Self { attributes: 128, events: 128, event_attributes: 128, links: 128, value_bytes: 4_096, spans: 2_000 }
    }
}

impl SpanLimits {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let within = |field, value: usize, least: usize, most: usize, expected| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError { field, value: value.to_string(), expected })
            }
        };
        within("traces.attributes_per_span", self.attributes, 1, 1_024, "1 to 1024")?;
        within("traces.events_per_span", self.events, 0, 10_000, "0 to 10000")?;
        within("traces.links_per_span", self.links, 0, 1_024, "0 to 1024")?;
        within("traces.value_bytes", self.value_bytes, 16, 65_536, "16 to 65536 bytes")?;
        within("traces.spans_per_trace", self.spans, 1, 100_000, "1 to 100000")
    }
}
