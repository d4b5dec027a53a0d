//! One module for each group of verbs.

pub mod certs;
pub mod daemons;
pub mod generate;
pub mod inspect;
pub mod local;
pub mod progress;
pub mod remote;
pub mod run;
pub mod runs;
pub mod summary;
