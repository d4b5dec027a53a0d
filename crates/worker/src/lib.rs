//! The worker daemon: lease, run, report; rank processes and network collectives.
