/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TextFormat {
    /// The text exposition format 0.0.4 of Prometheus, which every scraper reads.
    #[default]
    Prometheus,
    /// `OpenMetrics` 1.0, which has exemplars and units.
    OpenMetrics,
}

impl TextFormat {
    /// Returns the format that an `Accept` header prefers: `OpenMetrics` where it is named, in a version we write, with a
    /// quality no lower than plain text's; else Prometheus' own, also for an absent or malformed header.
    ///
    /// # Examples
    /// ```
    /// use bedplate_observability::TextFormat;
    /// let scraper = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    /// assert_eq!(TextFormat::negotiate(Some(scraper)), TextFormat::OpenMetrics);
    /// assert_eq!(TextFormat::negotiate(Some("text/html, */*;q=0.8")), TextFormat::Prometheus);
    /// assert_eq!(TextFormat::negotiate(None), TextFormat::Prometheus);
    /// ```
    #[must_use]
    pub fn negotiate(accept: Option<&str>) -> Self {
        let (mut metrics, mut plain) = (None, Match::default());
        for range in accept.unwrap_or_default().split(',').take(MAX_RANGES).filter_map(Range::parse) {
            match range.media.as_str() {
                "application/openmetrics-text" if range.open_metrics => {
                    metrics = Some(metrics.unwrap_or(0).max(range.quality));
                }
                "text/plain" if range.plain => plain.prefer(2, range.quality),
                "text/*" => plain.prefer(1, range.quality),
                "*/*" => plain.prefer(0, range.quality),
                _ => {}
            }
        }
        match metrics {
            Some(quality) if quality > 0 && quality >= plain.quality => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// Returns the value of the `Content-Type` header.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The quality by the most specific range that matched.
#[derive(Default)]
struct Match {
    specific: u8,
    quality: u16,
}

impl Match {
    fn prefer(&mut self, specific: u8, quality: u16) {
        match specific.cmp(&self.specific) {
            std::cmp::Ordering::Greater => *self = Self { specific, quality },
            std::cmp::Ordering::Equal => self.quality = self.quality.max(quality),
            std::cmp::Ordering::Less => {}
        }
    }
}

/// A media range of an `Accept` header (RFC 9110, section 12.5.1).
struct Range {
    media: String,
    /// Whether its version, if any, is one that we write.
    open_metrics: bool,
    plain: bool,
    /// In thousandths.
    quality: u16,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().filter(|media| !media.is_empty())?.to_ascii_lowercase();
        let mut range = Self { media, open_metrics: true, plain: true, quality: 1_000 };
        for parameter in parts {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => range.quality = quality(value)?,
                "version" => {
                    range.open_metrics = value == "1.0.0";
                    range.plain = value == "0.0.4";
                }
                _ => {}
            }
        }
        Some(range)
    }
}

/// A quality of 0 to 1 with up to three decimals, in thousandths.
fn quality(value: &str) -> Option<u16> {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    if !matches!(whole, "0" | "1") || decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{whole}{decimals:0<3}").parse::<u16>().ok()?;
    (thousandths <= 1_000).then_some(thousandths)
}

/// No client lists more; a longer list is somebody's joke.
const MAX_RANGES: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_preferred_format_is_taken() {
        let om = "application/openmetrics-text";
        for (accept, expected) in [
            (String::new(), TextFormat::Prometheus),
            (om.to_owned(), TextFormat::OpenMetrics),
            (om.to_uppercase(), TextFormat::OpenMetrics),
            (format!("{om};version=0.0.1"), TextFormat::Prometheus),
            (format!("{om};version=0.0.1, {om};version=1.0.0;q=0.1"), TextFormat::OpenMetrics),
            (format!("{om}; version=\"1.0.0\" ; q=0.5 , text/plain;q=0.5"), TextFormat::OpenMetrics),
            (format!("{om};q=0.4,text/plain;q=0.5"), TextFormat::Prometheus),
            (format!("{om};q=0.4,text/plain;q=0.3,*/*;q=0.9"), TextFormat::OpenMetrics),
            (format!("{om};q=0"), TextFormat::Prometheus),
            (format!("{om};q=2"), TextFormat::Prometheus),
            (format!("{om};q=0.12345"), TextFormat::Prometheus),
            ("application/vnd.google.protobuf;encoding=delimited;q=0.7,*/*;q=0.1".to_owned(), TextFormat::Prometheus),
            (",;=,;q=,text/plain".to_owned(), TextFormat::Prometheus),
        ] {
            assert_eq!(TextFormat::negotiate(Some(&accept)), expected, "{accept}");
        }
    }

    proptest! {
        #[test]
        fn no_header_does_harm(accept in "[a-z/*;,=q.0-9 \"-]{0,80}") {
            let _format = TextFormat::negotiate(Some(&accept));
            let named = format!("{accept},application/openmetrics-text;q=1");
            prop_assert_eq!(TextFormat::negotiate(Some(&named)), TextFormat::OpenMetrics);
        }
    }
}
