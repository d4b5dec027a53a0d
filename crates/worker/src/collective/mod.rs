//! Collectives over a network. The trait and the order of summation stand in `train`; here bytes move.
//!
//! ```text
//!  every rank: sealed TCP connections to all others, opened by the secret that rank 0 posted
//!    └─▶ what can each of us do?  all on devices that a fabric joins ─▶ the fabric (NCCL), watched over TCP
//!                                 else ──────────────────────────────▶ TCP carries the gradients
//! ```

mod fabric;
mod sealed;
mod tcp;
mod watch;

pub use fabric::{Abort, Fabric, Joined, Seat, of_this_build};
pub(crate) use fabric::{Choice, choose};
pub use tcp::{Listener, Secret, TcpCollective};
