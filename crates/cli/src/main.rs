//! The `orchestrator` command.
fn main() {}
