//! How fast object stores are asked, as workers tell it and as the coordinator wants it.

/// What a process asked of one store since it last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreLoad {
    /// Scheme and host: `s3://bucket`.
    pub store: String,
    /// Requests that were sent, each retry too.
    pub requests: u64,
    /// Those among them that the store answered with 429 or 503.
    pub throttled: u64,
    /// Over how many milliseconds.
    pub over_ms: u64,
}

/// How fast a process may ask one store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePace {
    /// Scheme and host: `s3://bucket`.
    pub store: String,
    /// The least time between two requests, in microseconds.
    pub interval_us: u64,
}
