/// What is left of all that was there, and what was asked for: the part that assertions on spans and on lines share.
#[derive(Debug, Clone)]
pub(super) struct Narrowed<T> {
    all: Vec<T>,
    left: Vec<T>,
    asked: String,
    /// What they are called.
    all_are: &'static str,
    show: fn(&T, &[T]) -> String,
}

impl<T: Clone> Narrowed<T> {
    /// Begins with those of all that `keep` finds; `show` writes one of them for the report.
    pub(super) fn new(
        asked: String,
        all_are: &'static str,
        all: Vec<T>,
        show: fn(&T, &[T]) -> String,
        keep: impl Fn(&T) -> bool,
    ) -> Self {
        Self { left: all.iter().filter(|one| keep(one)).cloned().collect(), all, asked, all_are, show }
    }

    /// Lets go of those that are not as asked for; `keep` gets one, and all.
    pub(super) fn narrow(mut self, what: &str, keep: impl Fn(&T, &[T]) -> bool) -> Self {
        self.left.retain(|one| keep(one, &self.all));
        self.asked.push_str(", ");
        self.asked.push_str(what);
        self
    }

    /// The only one; panics if there is none or more.
    pub(super) fn once(mut self) -> T {
        match self.left.pop() {
            Some(one) if self.left.is_empty() => one,
            last => {
                self.left.extend(last);
                self.fail(1)
            }
        }
    }

    /// Panics if there are not so many.
    pub(super) fn times(&self, count: usize) {
        if self.left.len() != count {
            self.fail(count);
        }
    }

    /// Panics if there is none.
    pub(super) fn exists(&self) {
        if self.left.is_empty() {
            self.fail(1);
        }
    }

    #[expect(clippy::panic, reason = "a test reports by panicking")]
    fn fail(&self, expected: usize) -> ! {
        let all: Vec<String> = self.all.iter().map(|one| (self.show)(one, &self.all)).collect();
        let Self { asked, left, all_are, .. } = self;
        panic!("{asked} found {} times, expected {expected}; all {all_are}:\n  {}", left.len(), all.join("\n  "))
    }
}
