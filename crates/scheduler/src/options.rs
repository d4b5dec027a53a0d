//! What an operator may tune. None of it changes what a fact means, so a journal can be replayed under other options.

/// Milliseconds on a clock that never goes back.
pub type Millis = u64;

/// Times and bounds of the scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Tells this incarnation's sessions from those of the ones before; the caller makes it unique.
    pub incarnation: u64,
    /// A lease that is not renewed for so long is lost.
    pub lease_ms: Millis,
    /// The wait before a task's second attempt; doubled for each further failure.
    pub backoff_initial_ms: Millis,
    /// The longest wait before an attempt.
    pub backoff_max_ms: Millis,
    /// For so long after its back-off a failed task waits for a worker other than the one where it failed.
    pub elsewhere_ms: Millis,
    /// How long a gang that lost a rank waits for its full world before it goes on with a smaller one.
    pub gang_regroup_ms: Millis,
    /// A generation whose ranks have not all joined after so long ends.
    pub gang_join_ms: Millis,
    /// A generation in which no rank gets on for so long, though all their workers live, ends. A rank gets on with each
    /// micro-batch, collective and phase of a step, so this bounds the slowest of those and not a step.
    pub hang_ms: Millis,
    /// A task whose attempts were lost (not failed) so often, times `max_attempts`, is quarantined: it may be what
    /// kills its workers.
    pub losses_per_attempt: u32,
    /// A task that has run for more than this share of what was to be expected of it (by its size and the median pace of
    /// its phase), in percent, gets a second attempt on a worker that stands idle. 0: never.
    pub straggler_percent: u64,
    /// No task that has run for less gets a second attempt.
    pub straggler_after_ms: Millis,
    /// Whether recovery voids all leases at once instead of giving them a whole new term: right when the workers
    /// died with the coordinator (embedded runs).
    pub void_leases_on_recovery: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            incarnation: 0,
            lease_ms: 15_000,
            backoff_initial_ms: 500,
            backoff_max_ms: 30_000,
            elsewhere_ms: 5_000,
            gang_regroup_ms: 10_000,
            gang_join_ms: 60_000,
            hang_ms: 600_000,
            losses_per_attempt: 5,
            straggler_percent: 200,
            straggler_after_ms: 30_000,
            void_leases_on_recovery: false,
        }
    }
}

impl Options {
    /// The wait before the next attempt of a task that failed `failures` times.
    pub(crate) fn backoff(&self, failures: u32) -> Millis {
        if failures == 0 {
            return 0;
        }
        self.backoff_initial_ms.saturating_mul(1 << (failures - 1).min(20)).min(self.backoff_max_ms)
    }
}
