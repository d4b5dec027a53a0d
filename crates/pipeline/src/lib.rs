//! What a task does: the runners behind every phase of a plan.
