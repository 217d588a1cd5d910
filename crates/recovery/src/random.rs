use std::fmt;

/// A source of randomness for jitter, so that a test can fix it.
pub trait Random {
    /// Returns the next number, at least 0.0 and below 1.0.
    fn unit(&mut self) -> f64;
}

impl<R: Random + ?Sized> Random for &mut R {
    fn unit(&mut self) -> f64 {
        (**self).unit()
    }
}

/// A fast random generator that gives the same numbers for the same seed.
///
/// It is not meant for secrets.
#[derive(Clone)]
pub struct SeededRandom(fastrand::Rng);

impl SeededRandom {
    /// Creates a generator whose numbers follow from `seed` alone.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Creates a generator with a seed that differs from call to call.
    #[must_use]
    pub fn unpredictable() -> Self {
        Self(fastrand::Rng::new())
    }
}

impl Random for SeededRandom {
    fn unit(&mut self) -> f64 {
        self.0.f64()
    }
}

impl fmt::Debug for SeededRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeededRandom").finish_non_exhaustive()
    }
}
