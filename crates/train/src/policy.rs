//! What happens when the loss or the gradient leaves the numbers, or the loss jumps.

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// What is done with a bad step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Its update is left out; its batch is spent.
    #[default]
    Skip,
    /// Back to the last checkpoint; when its batch comes again, its update is left out.
    Rollback,
    /// The run fails.
    Stop,
}

/// The policy for bad steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyOptions {
    /// On a loss or gradient that is no number.
    pub not_a_number: Action,
    /// On a loss above `spike_factor` times its running mean.
    pub spike: Action,
    /// See `spike`; 0 switches it off.
    pub spike_factor: f64,
    /// More bad steps than so many among the last [`WINDOW`] fail the run whatever the action.
    pub patience: u64,
}

impl Default for PolicyOptions {
    fn default() -> Self {
        Self { not_a_number: Action::Skip, spike: Action::Skip, spike_factor: 0.0, patience: 10 }
    }
}

/// Steps over which bad ones are counted: a long run may meet a bad batch now and then, and no run gets anywhere on one in
/// every hundred.
pub const WINDOW: u64 = 1_000;
/// Steps before a running mean is trusted.
const SETTLED: u64 = 20;
/// Weight of the newest loss in the running mean.
const NEWEST: f64 = 0.05;

/// What the policy remembers; part of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyState {
    /// Running mean of the loss over good steps.
    pub mean_loss: f64,
    /// Good steps so far.
    pub good_steps: u64,
    /// Bad steps among the last [`WINDOW`], ascending but for rollbacks.
    pub bad_steps: Vec<u64>,
    /// Steps whose update is left out when they come, after a rollback.
    pub skipped: Vec<u64>,
}

/// The policy's word on a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The update is applied.
    Apply,
    /// Something is done, and why.
    Act(Action, String),
}

impl PolicyOptions {
    /// Checks the numbers.
    pub fn validate(&self) -> Result<(), TrainError> {
        if self.spike_factor.is_finite() && (self.spike_factor == 0.0 || self.spike_factor > 1.0) {
            return Ok(());
        }
        Err(TrainError::Option {
            option: "spike_factor",
            value: self.spike_factor.to_string(),
            expected: "0 or a number above 1".to_owned(),
        })
    }

    /// Judges a step, the same on every rank, and remembers it.
    pub fn judge(&self, state: &mut PolicyState, step: u64, loss: f64, gradient_norm: f64) -> Verdict {
        // A step that was rolled back before is left out now.
        if state.skipped.contains(&step) {
            return Verdict::Act(Action::Skip, "left out after a rollback".to_owned());
        }
        let spike = self.spike_factor > 0.0
            && state.good_steps >= SETTLED
            && loss > self.spike_factor * state.mean_loss;
        let verdict = if !loss.is_finite() || !gradient_norm.is_finite() {
            Verdict::Act(
                self.not_a_number,
                format!("the loss is `{loss}`, the gradient's norm `{gradient_norm}`"),
            )
        } else if spike {
            let mean = state.mean_loss;
            Verdict::Act(self.spike, format!("the loss jumped to `{loss}` from a running mean of `{mean}`"))
        } else {
            let share = if state.good_steps == 0 { 1.0 } else { NEWEST };
            state.mean_loss += share * (loss - state.mean_loss);
            state.good_steps += 1;
            return Verdict::Apply;
        };
        state.bad_steps.retain(|bad| bad + WINDOW > step);
        state.bad_steps.push(step);
        match verdict {
            Verdict::Act(_, what) if state.bad_steps.len() as u64 > self.patience => {
                let count = state.bad_steps.len();
                Verdict::Act(Action::Stop, format!("{what}; {count} of the last {WINDOW} steps were bad"))
            }
            verdict => verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_step_may_not_be_bad_for_ever_and_one_in_a_window_may() {
        let policy = PolicyOptions { patience: 3, ..PolicyOptions::default() };
        let run = |every: u64, steps: u64| {
            let mut state = PolicyState::default();
            (1..=steps).find(|&step| {
                let loss = if step.is_multiple_of(every) { f64::NAN } else { 3.0 };
                matches!(policy.judge(&mut state, step, loss, 1.0), Verdict::Act(Action::Stop, _))
            })
        };
        assert_eq!(run(2, 100), Some(8));
        assert_eq!(run(WINDOW / 2, 100 * WINDOW), None);
    }

    #[test]
    fn bad_steps_are_judged_and_counted() {
        let policy = PolicyOptions { spike_factor: 2.0, patience: 2, ..PolicyOptions::default() };
        let mut state = PolicyState::default();
        for step in 1..=20 {
            assert_eq!(policy.judge(&mut state, step, 3.0, 1.0), Verdict::Apply);
        }
        assert!(matches!(policy.judge(&mut state, 21, 7.0, 1.0), Verdict::Act(Action::Skip, _)));
        assert!(matches!(policy.judge(&mut state, 22, f64::NAN, 1.0), Verdict::Act(Action::Skip, _)));
        assert!(matches!(policy.judge(&mut state, 23, 3.0, f64::INFINITY), Verdict::Act(Action::Stop, _)));
        assert_eq!(policy.judge(&mut state, 24, 3.0, 1.0), Verdict::Apply);
        assert_eq!(state.bad_steps, [21, 22, 23]);
    }
}
