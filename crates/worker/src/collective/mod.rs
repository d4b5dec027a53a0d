//! Collectives over a network. The trait and the order of summation stand in `train`; here bytes move.

mod tcp;

pub use tcp::{Listener, Secret, TcpCollective};
