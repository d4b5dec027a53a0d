//! One file per event: what it is allowed to do, and what follows from it.

pub(crate) mod amend;
pub(crate) mod cancel;
pub(crate) mod checkpoint_published;
pub(crate) mod commit;
pub(crate) mod commit_checkpoint;
pub(crate) mod effect_failed;
pub(crate) mod fail;
pub(crate) mod heartbeat;
pub(crate) mod join_gang;
pub(crate) mod lease;
pub(crate) mod leave;
pub(crate) mod phase_expanded;
pub(crate) mod phase_published;
pub(crate) mod register;
pub(crate) mod retry;
pub(crate) mod save;
pub(crate) mod submit;
pub(crate) mod task_published;
pub(crate) mod tick;
