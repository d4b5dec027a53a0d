//! The training loop, optimizer, schedules, data order, checkpoints, the collective.
