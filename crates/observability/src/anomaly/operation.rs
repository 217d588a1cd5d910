use super::config::AnomalyConfig;
use super::detector::AnomalyKind;
use super::error_rate::{Errors, float};
use super::latency::{Baseline, Sampler, Summary};
use super::traffic::Traffic;
use crate::TraceId;

/// What is known of one operation.
#[derive(Debug, Default)]
pub(super) struct Operation {
    sampler: Sampler,
    requests: u64,
    errors: u64,
    /// The slowest request's and the last failed one's trace in this bucket.
    slowest: Option<(f64, TraceId)>,
    failed: Option<TraceId>,
    any: Option<TraceId>,
    latency: Baseline,
    error_rate: Errors,
    traffic: Traffic,
    episodes: [Episode; AnomalyKind::ALL.len()],
    /// The last bucket that had a request.
    pub(super) last_used: u64,
}

/// Where a kind of anomaly of an operation stands.
#[derive(Debug, Default)]
struct Episode {
    active: bool,
    /// Buckets that spoke for the other state, since one spoke for this.
    streak: u32,
    /// Buckets since the last change.
    since: u32,
    cooling: u32,
    /// The level has just been taken for the new normal; the baseline is to be begun anew.
    adopted: bool,
}

/// A change of an episode, or that it goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    pub(super) kind: AnomalyKind,
    pub(super) began: bool,
    pub(super) observed: f64,
    pub(super) expected: f64,
    pub(super) score: f64,
    pub(super) trace_id: Option<TraceId>,
}

/// One kind's evidence in one bucket.
struct Evidence {
    kind: AnomalyKind,
    score: f64,
    observed: f64,
    expected: f64,
    trace_id: Option<TraceId>,
}

impl Operation {
    pub(super) fn feed(
        &mut self,
        seconds: f64,
        failed: bool,
        trace_id: Option<TraceId>,
        chance: impl FnOnce(u64) -> u64,
    ) {
        self.sampler.add(seconds, chance);
        self.requests += 1;
        self.errors += u64::from(failed);
        if let Some(trace_id) = trace_id {
            self.any = Some(trace_id);
            if self.slowest.is_none_or(|(slowest, _)| seconds > slowest) {
                self.slowest = Some((seconds, trace_id));
            }
            if failed {
                self.failed = Some(trace_id);
            }
        }
    }

    /// Ends a bucket and returns what changed by it.
    pub(super) fn close(&mut self, config: &AnomalyConfig) -> Vec<Verdict> {
        let (requests, errors) = (std::mem::take(&mut self.requests), std::mem::take(&mut self.errors));
        let (slowest, failed, any) = (self.slowest.take(), self.failed.take(), self.any.take());
        let summary = self.sampler.summarize().filter(|_| requests >= config.min_samples);
        self.error_rate.note(requests, errors);
        let mut verdicts = Vec::new();

        if let Some(evidence) = self.latency_evidence(summary, config, slowest.map(|(_, trace_id)| trace_id)) {
            verdicts.extend(self.step(&evidence, config));
        }
        if requests >= config.min_samples && self.error_rate.buckets() >= config.warm_up {
            let judged = self.error_rate.judge(requests, errors);
            let (score, observed, expected) = (judged.score, judged.observed, judged.expected);
            let evidence = Evidence { kind: AnomalyKind::Errors, score, observed, expected, trace_id: failed };
            verdicts.extend(self.step(&evidence, config));
        }
        let burning = self.error_rate.burning(1.0 - config.objective, config.min_samples);
        let (score, observed, expected) = burning
            .map_or((0.0, 0.0, 0.0), |judged| (config.enter.max(judged.score), judged.observed, judged.expected));
        let evidence = Evidence { kind: AnomalyKind::BurnRate, score, observed, expected, trace_id: failed };
        verdicts.extend(self.step(&evidence, config));
        if self.traffic.buckets() >= config.warm_up {
            let score = self.traffic.score(requests);
            let (observed, expected) = (float(requests), self.traffic.mean());
            for (kind, score) in [(AnomalyKind::TrafficDrop, -score), (AnomalyKind::TrafficSpike, score)] {
                let evidence = Evidence { kind, score, observed, expected, trace_id: any };
                verdicts.extend(self.step(&evidence, config));
            }
        }
        self.learn(summary, requests, errors, config);
        verdicts
    }

    /// Forgets the open bucket.
    pub(super) fn drop_bucket(&mut self) {
        let _summary = self.sampler.summarize();
        (self.requests, self.errors) = (0, 0);
        (self.slowest, self.failed, self.any) = (None, None, None);
    }

    pub(super) fn is_active(&self, kind: AnomalyKind) -> bool {
        self.episodes.get(kind.index()).is_some_and(|episode| episode.active)
    }

    fn latency_evidence(
        &self,
        summary: Option<Summary>,
        config: &AnomalyConfig,
        trace_id: Option<TraceId>,
    ) -> Option<Evidence> {
        let summary = summary.filter(|_| self.latency.buckets() >= config.warm_up)?;
        let (observed, expected) = (summary.center.exp(), self.latency.center().exp());
        let notable = summary.center - self.latency.center() >= config.min_latency_ratio.ln();
        let score = if notable { self.latency.score(summary) } else { 0.0 };
        Some(Evidence { kind: AnomalyKind::Latency, score, observed, expected, trace_id })
    }

    /// Baselines learn from what is usual; one that is judged unusual is frozen, until it has held for so long that it is
    /// the new usual and is learned from the beginning.
    fn learn(&mut self, summary: Option<Summary>, requests: u64, errors: u64, config: &AnomalyConfig) {
        if let Some(summary) = summary {
            match self.learning(&[AnomalyKind::Latency]) {
                Learning::Frozen => {}
                Learning::Usual => self.latency.learn(summary),
                Learning::Anew => {
                    self.latency = Baseline::default();
                    self.latency.learn(summary);
                }
            }
        }
        if requests >= config.min_samples {
            match self.learning(&[AnomalyKind::Errors]) {
                Learning::Frozen => {}
                Learning::Usual => self.error_rate.learn(requests, errors),
                Learning::Anew => {
                    self.error_rate.forget_baseline();
                    self.error_rate.learn(requests, errors);
                }
            }
        }
        match self.learning(&[AnomalyKind::TrafficDrop, AnomalyKind::TrafficSpike]) {
            Learning::Frozen => {}
            Learning::Usual => self.traffic.learn(requests),
            Learning::Anew => {
                self.traffic = Traffic::default();
                self.traffic.learn(requests);
            }
        }
    }

    fn learning(&mut self, kinds: &[AnomalyKind]) -> Learning {
        let mut learning = Learning::Usual;
        for kind in kinds {
            let Some(episode) = self.episodes.get_mut(kind.index()) else { continue };
            if std::mem::take(&mut episode.adopted) {
                return Learning::Anew;
            }
            if episode.active || episode.streak > 0 {
                learning = Learning::Frozen;
            }
        }
        learning
    }

    fn step(&mut self, evidence: &Evidence, config: &AnomalyConfig) -> Option<Verdict> {
        let episode = self.episodes.get_mut(evidence.kind.index())?;
        episode.since = episode.since.saturating_add(1);
        // A burn rate is judged by a promise, not by what is usual, and so never becomes usual.
        let adopted = episode.active && evidence.kind != AnomalyKind::BurnRate && episode.since >= config.adopt_after;
        // Between the two scores a bucket speaks for neither state, so that one weak bucket does not hide a fault.
        let (strong, weak) = (evidence.score >= config.enter, evidence.score < config.leave);
        let (other, same) = if episode.active { (weak, strong) } else { (strong, weak) };
        if other {
            episode.streak += 1;
        } else if same {
            episode.streak = 0;
        }
        episode.cooling = episode.cooling.saturating_sub(1);
        if !adopted && episode.streak < CONFIRM || (!episode.active && episode.cooling > 0) {
            return None;
        }
        let began = !episode.active;
        let cooling = if began { 0 } else { config.cool_down };
        *episode = Episode { active: began, cooling, adopted, ..Episode::default() };
        let Evidence { kind, score, observed, expected, trace_id } = *evidence;
        Some(Verdict { kind, began, observed, expected, score, trace_id })
    }
}

enum Learning {
    Usual,
    Frozen,
    Anew,
}

/// Buckets that make a verdict, with none for the other state between.
const CONFIRM: u32 = 2;
