//! What stages load once for all tasks of a job on a worker: filters with their lists, benchmarks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use orchestrator_text::decontaminate::Index;
use orchestrator_text::filters::Filter;

use crate::error::TaskError;

/// Loaded things by stage.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) filters: Once<Filter>,
    pub(crate) benchmarks: Once<Index>,
}

/// One thing for each stage that has it. Whoever comes first loads it, and the others wait for that: a list is never
/// twice in memory.
pub(crate) struct Once<T> {
    loaded: Mutex<BTreeMap<u32, Arc<T>>>,
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self { loaded: Mutex::default() }
    }
}

impl<T> Once<T> {
    /// The thing of a stage, loaded unless it is already.
    pub(crate) fn get(
        &self,
        stage: u32,
        load: impl FnOnce() -> Result<T, TaskError>,
    ) -> Result<Arc<T>, TaskError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = loaded.get(&stage) {
            return Ok(Arc::clone(there));
        }
        let new = Arc::new(load()?);
        loaded.insert(stage, Arc::clone(&new));
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_loads_once_and_a_failure_may_be_tried_again() {
        let once = Once::default();
        assert!(once.get(1, || Err(TaskError::configuration("filter", "no list"))).is_err());
        let first = once.get(1, || Ok(7)).expect("it loads");
        let again = once.get(1, || unreachable!("it is loaded")).expect("it is there");
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(*once.get(2, || Ok(8)).expect("another stage"), 8);
    }
}
