//! Whole commands over small corpora, as a user gives them.

#[path = "../support/mod.rs"]
mod support;

mod compat;
mod daemons;
mod dedup;
mod families;
mod forged;
mod formats;
mod frozen;
mod full_disk;
mod health;
mod hostile;
mod job_file;
mod languages;
mod leaks;
mod lists;
mod mixing;
mod models;
mod placement;
mod plans;
mod refusals;
mod repeats;
mod reports;
mod reruns;
mod roots;
mod scoring;
mod secure;
mod verbs;
mod web;
mod workers;
