//! A task's outcome travels as JSON: its detail is free-form, and the journal keeps the same text.

use orchestrator_core::TaskOutcome;

/// The largest outcome a commit may carry, in bytes.
pub const OUTCOME_BYTES_MAX: usize = 48 << 20;

/// The text of a commit is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum OutcomeError {
    /// Longer than [`OUTCOME_BYTES_MAX`].
    #[error("the outcome has `{0}` bytes, expected at most {OUTCOME_BYTES_MAX}")]
    TooLong(usize),
    /// Not the JSON of an outcome.
    #[error("the outcome is no JSON of `TaskOutcome`")]
    Malformed(#[from] serde_json::Error),
}

/// Writes an outcome for `CommitRequest::outcome`.
pub fn outcome_to_wire(outcome: &TaskOutcome) -> Result<String, OutcomeError> {
    let text = serde_json::to_string(outcome)?;
    if text.len() > OUTCOME_BYTES_MAX { Err(OutcomeError::TooLong(text.len())) } else { Ok(text) }
}

/// Reads an outcome from `CommitRequest::outcome`.
pub fn outcome_from_wire(text: &str) -> Result<TaskOutcome, OutcomeError> {
    if text.len() > OUTCOME_BYTES_MAX {
        return Err(OutcomeError::TooLong(text.len()));
    }
    Ok(serde_json::from_str(text)?)
}

#[cfg(test)]
mod tests {
    use orchestrator_core::StageTally;

    use super::*;

    #[test]
    fn an_outcome_survives_the_wire() {
        let mut tally = StageTally { stage: 3, records_in: 1, kept: 1, ..StageTally::default() };
        tally.kept_digest.push(u128::MAX);
        let outcome = TaskOutcome {
            tallies: vec![tally],
            detail: serde_json::json!({"b": 1, "a": [2]}),
            ..Default::default()
        };
        let text = outcome_to_wire(&outcome).expect("small");
        assert_eq!(outcome_from_wire(&text).expect("its own text"), outcome);
        assert!(outcome_from_wire("[").is_err());
    }
}
