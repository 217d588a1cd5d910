use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::config::{ConfigError, LONGEST};
use crate::failure::{Failure, Rejection};
use crate::lint::PolicyKind;
use crate::observer::{Observer, RecoveryEvent};
use crate::policy::{Cx, Env, Policy};
use crate::random::{Random as _, SeededRandom};
use crate::timeout::outdate;

/// The settings of [`Chaos`]; by default nothing is injected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ChaosConfig {
    /// The share of calls that are refused without being made; 0.0 to 1.0.
    pub fault_rate: f64,
    /// The share of calls that are delayed; 0.0 to 1.0.
    pub latency_rate: f64,
    /// By how long they are; at most 366 days.
    pub latency: Duration,
    /// The share of calls whose outcome is replaced, where the call asks for that by
    /// [`Chaos::outcome`]; 0.0 to 1.0.
    pub outcome_rate: f64,
    /// The share of calls before which the behaviour runs; 0.0 to 1.0.
    pub behaviour_rate: f64,
}

impl Default for ChaosConfig {
    fn default() -> Self {
        Self { fault_rate: 0.0, latency_rate: 0.0, latency: Duration::ZERO, outcome_rate: 0.0, behaviour_rate: 0.0 }
    }
}

impl ChaosConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let rates = [
            ("chaos.fault_rate", self.fault_rate),
            ("chaos.latency_rate", self.latency_rate),
            ("chaos.outcome_rate", self.outcome_rate),
            ("chaos.behaviour_rate", self.behaviour_rate),
        ];
        // Written so that NaN is refused.
        if let Some((field, value)) = rates.into_iter().find(|(_, rate)| !(0.0..=1.0).contains(rate)) {
            return Err(ConfigError::new(field, value, "0.0 to 1.0"));
        }
        if self.latency > LONGEST {
            return Err(ConfigError::new("chaos.latency", format_args!("{:?}", self.latency), "at most 366 days"));
        }
        Ok(())
    }
}

/// Injects faults, delays, outcomes and behaviours, to see whether the rest of the pipeline holds.
///
/// It belongs innermost, where the callee would be. It can be switched off and on and given other rates while it runs;
/// clones are handles to the same one. With a seed its decisions can be repeated.
///
/// # Examples
/// ```
/// use bedplate_recovery::{Chaos, ChaosConfig, Failure, Pipeline, Rejection};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = ChaosConfig::default();
/// config.fault_rate = 1.0;
/// let chaos = Chaos::new("chaos", config)?;
/// let pipeline = Pipeline::builder("search").then(chaos.clone()).build()?;
/// let struck = pipeline.run(|_| async { Ok::<_, std::io::Error>(7) }).await;
/// assert!(matches!(struck, Err(Failure::Rejected { reason: Rejection::Injected, .. })));
/// chaos.enable(false);
/// assert_eq!(pipeline.run(|_| async { Ok::<_, std::io::Error>(7) }).await?, 7);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Chaos {
    shared: Arc<Shared>,
    behaviour: Option<Arc<dyn Fn() + Send + Sync>>,
}

struct Shared {
    name: Arc<str>,
    enabled: AtomicBool,
    state: Mutex<(ChaosConfig, SeededRandom)>,
    injected: AtomicU64,
}

/// What is injected into one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Strike {
    fault: bool,
    latency: Duration,
    behaviour: bool,
}

impl Chaos {
    /// Creates an injector with an unpredictable seed.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the setting that cannot be used.
    pub fn new(name: impl Into<Arc<str>>, config: ChaosConfig) -> Result<Self, ConfigError> {
        Self::with_random(name, config, SeededRandom::unpredictable())
    }

    /// Creates an injector whose decisions follow from `random`.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the setting that cannot be used.
    pub fn with_random(
        name: impl Into<Arc<str>>,
        config: ChaosConfig,
        random: SeededRandom,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let shared = Shared {
            name: name.into(),
            enabled: AtomicBool::new(true),
            state: Mutex::new((config, random)),
            injected: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared), behaviour: None })
    }

    /// Runs `act` before the share of the calls that `behaviour_rate` says: a restart, a dropped connection.
    #[must_use]
    pub fn behaviour(mut self, act: impl Fn() + Send + Sync + 'static) -> Self {
        self.behaviour = Some(Arc::new(act));
        self
    }

    /// Switches all injection off or on.
    pub fn enable(&self, enabled: bool) {
        self.shared.enabled.store(enabled, Ordering::Relaxed);
    }

    /// Takes other rates.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] and keeps the old ones if one cannot be used.
    pub fn reconfigure(&self, config: ChaosConfig) -> Result<(), ConfigError> {
        config.check()?;
        self.shared.state.lock().0 = config;
        Ok(())
    }

    /// Returns how many faults, delays, outcomes and behaviours were injected.
    #[must_use]
    pub fn injected(&self) -> u64 {
        self.shared.injected.load(Ordering::Relaxed)
    }

    /// Gives an injected outcome to the share of the calls that `outcome_rate` says, for the call itself to return: only
    /// it knows its type.
    ///
    /// # Examples
    /// ```
    /// # use bedplate_recovery::{Chaos, ChaosConfig};
    /// # fn main() -> Result<(), bedplate_recovery::ConfigError> {
    /// # let chaos = Chaos::new("chaos", ChaosConfig::default())?;
    /// let call = || -> Result<u32, String> {
    ///     if let Some(injected) = chaos.outcome(|| Err("503".to_owned())) {
    ///         return injected;
    ///     }
    ///     Ok(7)
    /// };
    /// assert_eq!(call(), Ok(7));
    /// # Ok(()) }
    /// ```
    pub fn outcome<R>(&self, outcome: impl FnOnce() -> R) -> Option<R> {
        if !self.shared.enabled.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.shared.state.lock();
        let rate = state.0.outcome_rate;
        let struck = rate > 0.0 && state.1.unit() < rate;
        drop(state);
        struck.then(|| {
            self.shared.injected.fetch_add(1, Ordering::Relaxed);
            outcome()
        })
    }

    fn strike(&self) -> Strike {
        if !self.shared.enabled.load(Ordering::Relaxed) {
            return Strike::default();
        }
        let mut state = self.shared.state.lock();
        let (config, random) = &mut *state;
        // One number for each, whatever the rates are: with a seed, a change of one rate leaves the others' calls alone.
        let (fault, latency, behaviour) = (random.unit(), random.unit(), random.unit());
        Strike {
            fault: fault < config.fault_rate,
            latency: if latency < config.latency_rate { config.latency } else { Duration::ZERO },
            behaviour: behaviour < config.behaviour_rate,
        }
    }

    fn note(&self, what: &'static str) {
        self.shared.injected.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(chaos = &*self.shared.name, what, "injected");
    }
}

impl Policy for Chaos {
    fn outline(&self, outline: &mut Vec<PolicyKind>) {
        outline.push(PolicyKind::Chaos);
    }

    async fn run<C, O, T, E, Op, Fut>(&self, env: Env<'_, C, O>, cx: Cx, op: Op) -> Result<T, Failure<E>>
    where
        C: Clock,
        O: Observer,
        T: Send,
        E: Send,
        Op: Fn(Cx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, Failure<E>>> + Send,
    {
        let strike = self.strike();
        if strike.behaviour
            && let Some(act) = &self.behaviour
        {
            self.note("behaviour");
            act();
        }
        if !strike.latency.is_zero() {
            self.note("latency");
            let now = env.clock().now();
            env.clock().sleep_until(now.checked_add(strike.latency).unwrap_or(now)).await;
            outdate();
        }
        if strike.fault {
            self.note("fault");
            let (by, reason) = (&self.shared.name, Rejection::Injected);
            env.observer().observe(&RecoveryEvent::Rejected { by, reason, retry_after: None });
            return Err(Failure::Rejected { by: Arc::clone(by), reason, retry_after: None });
        }
        op(cx).await
    }
}

impl fmt::Debug for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chaos")
            .field("name", &self.shared.name)
            .field("config", &self.shared.state.lock().0)
            .finish_non_exhaustive()
    }
}
