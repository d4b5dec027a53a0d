//! The learning rate as a pure function of the step.

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// Shape of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// Half a cosine from the peak to the floor.
    #[default]
    Cosine,
    /// Warm-up, stable, decay: the peak, then a straight line to the floor over the last `decay_steps`.
    Wsd,
    /// The peak.
    Constant,
}

/// The learning rate over steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleOptions {
    /// Shape.
    pub kind: ScheduleKind,
    /// Steps of linear growth from 0 to the peak.
    pub warmup_steps: u64,
    /// Floor, as a share of the peak.
    pub min_ratio: f64,
    /// Steps of the final decay (`wsd` only).
    pub decay_steps: u64,
}

impl Default for ScheduleOptions {
    fn default() -> Self {
        Self { kind: ScheduleKind::Cosine, warmup_steps: 0, min_ratio: 0.1, decay_steps: 0 }
    }
}

impl ScheduleOptions {
    /// Checks the options for a run of `steps`.
    pub fn validate(&self, steps: u64) -> Result<(), TrainError> {
        let error =
            |option, value: String, expected: String| Err(TrainError::Option { option, value, expected });
        if !(0.0..=1.0).contains(&self.min_ratio) {
            return error("min_ratio", self.min_ratio.to_string(), "a share from 0 to 1".into());
        }
        if self.warmup_steps > steps {
            let expected = format!("at most the number of steps, `{steps}`");
            return error("warmup_steps", self.warmup_steps.to_string(), expected);
        }
        if self.kind == ScheduleKind::Wsd && self.decay_steps > steps - self.warmup_steps {
            let expected = format!("at most `{}`, the steps after the warm-up", steps - self.warmup_steps);
            return error("decay_steps", self.decay_steps.to_string(), expected);
        }
        Ok(())
    }

    /// What the peak is multiplied with at `step` (from 1) of `steps`.
    pub fn factor(&self, step: u64, steps: u64) -> f64 {
        if step < self.warmup_steps {
            return step as f64 / self.warmup_steps as f64;
        }
        let above_floor = match self.kind {
            ScheduleKind::Constant => return 1.0,
            ScheduleKind::Cosine => {
                let span = (steps - self.warmup_steps).max(1) as f64;
                let progress = (step - self.warmup_steps) as f64 / span;
                0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos())
            }
            ScheduleKind::Wsd => {
                (steps.saturating_sub(step) as f64 / self.decay_steps.max(1) as f64).min(1.0)
            }
        };
        self.min_ratio + (1.0 - self.min_ratio) * above_floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_pass_through_their_corners() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        let cosine = ScheduleOptions { warmup_steps: 10, ..ScheduleOptions::default() };
        near(cosine.factor(1, 110), 0.1);
        near(cosine.factor(10, 110), 1.0);
        near(cosine.factor(60, 110), 0.55);
        near(cosine.factor(110, 110), 0.1);
        let wsd = ScheduleOptions { kind: ScheduleKind::Wsd, decay_steps: 20, min_ratio: 0.0, ..cosine };
        near(wsd.factor(90, 110), 1.0);
        near(wsd.factor(100, 110), 0.5);
        near(wsd.factor(110, 110), 0.0);
        assert!(ScheduleOptions { warmup_steps: 9, ..wsd }.validate(8).is_err());
    }
}
