//! Advice from what was asked for.

use std::sync::Arc;

use bedplate_cache::advise::{Advice, AlertConfig, ShadowConfig};
use bedplate_cache::{AdvisorConfig, Cache, CacheEvent, Observer};
use heard::Heard;

mod heard {
    use std::sync::Mutex;

    use bedplate_cache::CacheEvent;

    #[derive(Debug, Default)]
    pub(super) struct Heard(pub(super) Mutex<Vec<CacheEvent>>);
}

impl Observer for Heard {
    fn on_event(&self, _: &str, event: &CacheEvent) {
        if matches!(event, CacheEvent::HitRatioFell { .. } | CacheEvent::HitRatioRecovered { .. }) {
            self.0.lock().unwrap().push(*event);
        }
    }
}

fn ask(cache: &Cache<u64, u64>, key: u64) {
    if cache.get(&key).is_none() {
        cache.insert(key, key);
    }
}

#[test]
fn a_loop_that_does_not_fit_is_told_what_it_needs() {
    let mut shadow = ShadowConfig::default();
    shadow.one_of = 8;
    // A hundred bytes per entry, and room for a tenth of them.
    let cache: Cache<u64, u64> = Cache::builder("loop")
        .max_bytes(200_000)
        .weigher(|_, _| 20)
        .advisor(AdvisorConfig::default().shadow(shadow))
        .build()
        .unwrap();
    for _round in 0..10 {
        for key in 0..20_000 {
            ask(&cache, key);
        }
    }
    let Some(Advice::Needs { bytes, .. }) = cache.advise(0.85) else { panic!("{:?}", cache.advise(0.85)) };
    let working_set = 2_000_000.0;
    let ratio = f64::from(u32::try_from(bytes).unwrap()) / working_set;
    assert!((0.85..1.2).contains(&ratio), "advised {bytes}");
    let ceiling = cache.hit_ratio_curve().unwrap().ceiling();
    assert!((ceiling - 0.9).abs() < 0.03, "{ceiling}");
    assert!(matches!(cache.advise(0.95), Some(Advice::Ceiling { .. })));
}

#[test]
fn a_fallen_hit_ratio_is_told_once_and_its_rise_too() {
    let mut shadow = ShadowConfig::default();
    shadow.one_of = 1;
    let heard = Arc::new(Heard::default());
    let config = AdvisorConfig::default().shadow(shadow).alert(AlertConfig::default());
    let cache: Cache<u64, u64> = Cache::builder("alert").advisor(config).observer(Arc::clone(&heard)).build().unwrap();
    for key in 0..20_000 {
        ask(&cache, key);
    }
    for round in 0..20_000 {
        ask(&cache, round % 100);
    }
    let events = heard.0.lock().unwrap().clone();
    assert!(
        matches!(events[..], [CacheEvent::HitRatioFell { permille: 0 }, CacheEvent::HitRatioRecovered { permille }] if permille >= 920),
        "{events:?}"
    );
}

#[test]
fn without_an_advisor_there_is_no_advice_and_a_bad_one_is_refused() {
    let cache: Cache<u64, u64> = Cache::builder("none").build().unwrap();
    assert!(cache.advise(0.9).is_none());
    let mut shadow = ShadowConfig::default();
    shadow.one_of = 3;
    let refused = Cache::<u64, u64>::builder("bad").advisor(AdvisorConfig::default().shadow(shadow)).build();
    assert_eq!(refused.unwrap_err().field(), "one_of");
}
