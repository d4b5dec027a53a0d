//! The worker daemon: lease, run, report; rank processes and network collectives.

mod client;
pub mod collective;
mod execute;
mod held;
mod jobs;
mod options;
mod rank;
mod saves;
mod service;

pub use client::{ConnectError, advice};
pub use options::WorkerOptions;
pub use rank::run_rank;
pub use service::{Handle, Refused, Worker};

/// The CPU feature level that decides which kernels run, and so which bits come out. Gangs refuse mixtures.
pub fn cpu_level() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") {
            return "x86-64-avx512f";
        }
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            return "x86-64-avx2-fma";
        }
    }
    std::env::consts::ARCH
}
