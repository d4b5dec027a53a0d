//! The pure state machine of jobs, phases, tasks, attempts and gangs.
