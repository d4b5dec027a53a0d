//! A task's files lie at their final names.

use crate::fact::Fact;
use crate::scheduler::Scheduler;
use crate::state::{Place, TaskStatus};

pub(crate) fn apply(scheduler: &mut Scheduler, place: Place) {
    let committed =
        scheduler.state.task(&place).is_some_and(|task| matches!(task.status, TaskStatus::Committed(_)));
    if committed {
        let job = place.job.clone();
        scheduler.record(Fact::Published { place });
        scheduler.settle(&job);
    }
}
