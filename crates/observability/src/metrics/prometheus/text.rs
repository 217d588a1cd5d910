//! The encoder of both formats, which differ in a counter's family name, units, bucket bounds, exemplars and the end.

use std::fmt::{self, Write as _};
use std::time::UNIX_EPOCH;

use super::TextFormat;
use crate::metrics::registry::HistogramPoint;
use crate::metrics::registry::{Points, Sample, View, legal_label};

type Labels = [(&'static str, String)];

/// Writes the metrics, sorted by name, their series by labels.
pub(super) fn encode(format: TextFormat, mut views: Vec<View>) -> String {
    views.sort_by_key(|view| view.name);
    let mut out = Encoder { format, out: String::new() };
    for view in views {
        out.view(view);
    }
    if format == TextFormat::OpenMetrics {
        out.out.push_str("# EOF\n");
    }
    out.out
}

struct Encoder {
    format: TextFormat,
    out: String,
}

impl Encoder {
    fn view(&mut self, view: View) {
        let View { name, help, points } = view;
        let open = self.format == TextFormat::OpenMetrics;
        match points {
            Points::Counter(samples) => {
                let family = if open { name.strip_suffix("_total").unwrap_or(name) } else { name };
                self.header(family, help, "counter");
                self.samples(name, samples);
            }
            Points::Gauge(samples) => {
                self.header(name, help, "gauge");
                self.samples(name, samples);
            }
            Points::Histogram(mut points) => {
                self.header(name, help, "histogram");
                points.sort_by(|a, b| a.labels.cmp(&b.labels));
                for point in points {
                    self.histogram(name, &point);
                }
            }
        }
    }

    fn header(&mut self, family: &str, help: &str, kind: &str) {
        let mut help = help.replace('\\', "\\\\").replace('\n', "\\n");
        if self.format == TextFormat::OpenMetrics {
            help = help.replace('"', "\\\"");
            self.push(format_args!("# TYPE {family} {kind}\n"));
            // Only what the name says; a unit must be the name's suffix.
            if let Some(unit) =
                UNITS.iter().find(|unit| family.strip_suffix(**unit).is_some_and(|rest| rest.ends_with('_')))
            {
                self.push(format_args!("# UNIT {family} {unit}\n"));
            }
            self.push(format_args!("# HELP {family} {help}\n"));
        } else {
            self.push(format_args!("# HELP {family} {help}\n# TYPE {family} {kind}\n"));
        }
    }

    fn samples(&mut self, name: &str, mut samples: Vec<Sample>) {
        for Sample { labels, .. } in &mut samples {
            // Supplied by anybody; a label that is none, or stands twice, would make the whole text unreadable as well.
            labels.retain(|(label, text)| !text.is_empty() && legal_label(label));
            labels.sort();
            labels.dedup_by_key(|(label, _)| *label);
        }
        samples.sort_by(|a, b| a.labels.cmp(&b.labels));
        // Two values of one series would make the whole text unreadable; the first is kept.
        samples.dedup_by(|a, b| a.labels == b.labels);
        for sample in samples {
            self.line(name, "", &sample.labels, None, sample.value);
            self.out.push('\n');
        }
    }

    fn histogram(&mut self, name: &str, point: &HistogramPoint) {
        for (bound, count, exemplar) in &point.buckets {
            let bound = match self.format {
                _ if bound.is_infinite() => "+Inf".to_owned(),
                // The canonical form of OpenMetrics has a decimal point.
                TextFormat::OpenMetrics => format!("{bound:?}"),
                TextFormat::Prometheus => bound.to_string(),
            };
            self.line(name, "_bucket", &point.labels, Some(("le", &bound)), Sample::count(*count).value);
            if let (TextFormat::OpenMetrics, Some(exemplar)) = (self.format, exemplar) {
                let (trace, span) = (exemplar.trace_id, exemplar.span_id);
                let at = exemplar.at.duration_since(UNIX_EPOCH).unwrap_or_default();
                let (value, seconds, millis) = (exemplar.value, at.as_secs(), at.subsec_millis());
                self.push(format_args!(" # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {value} {seconds}.{millis:03}"));
            }
            self.out.push('\n');
        }
        let count = point.buckets.last().map_or(0, |(_, count, _)| *count);
        self.line(name, "_sum", &point.labels, None, point.sum);
        self.out.push('\n');
        self.line(name, "_count", &point.labels, None, Sample::count(count).value);
        self.out.push('\n');
    }

    /// A sample without its line's end.
    fn line(&mut self, name: &str, suffix: &str, labels: &Labels, last: Option<(&str, &str)>, value: f64) {
        self.push(format_args!("{name}{suffix}"));
        let pairs = labels.iter().map(|(label, text)| (*label, text.as_str())).chain(last);
        let mut open = '{';
        // An empty value is the same as no label.
        for (label, text) in pairs.filter(|(_, text)| !text.is_empty()) {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.push(format_args!("{open}{label}=\"{text}\""));
            open = ',';
        }
        if open == ',' {
            self.out.push('}');
        }
        if value.is_infinite() {
            self.push(format_args!(" {}Inf", if value > 0.0 { '+' } else { '-' }));
        } else {
            self.push(format_args!(" {value}"));
        }
    }

    fn push(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _infallible = self.out.write_fmt(text);
    }
}

/// The base units of both formats that our names may end in.
const UNITS: [&str; 5] = ["seconds", "bytes", "ratio", "celsius", "joules"];
