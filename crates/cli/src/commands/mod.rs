//! One module for each group of verbs.

pub(crate) mod certs;
pub(crate) mod compat;
pub(crate) mod daemons;
pub(crate) mod evaluate;
pub(crate) mod generate;
pub(crate) mod health;
pub(crate) mod inspect;
pub(crate) mod local;
pub(crate) mod model;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod refilter;
pub(crate) mod remote;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod summary;
