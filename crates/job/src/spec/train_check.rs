//! What may stand in the options of `train`.

use orchestrator_text::ConfigError;

use super::train::{Precision, ScheduleShape, TrainConfig};

/// A fraction that lies strictly below 1.
pub(super) fn below_one(key: &str, value: f64) -> Result<(), ConfigError> {
    if (0.0..1.0).contains(&value) {
        Ok(())
    } else {
        Err(ConfigError::new(
            key,
            format!("expected a number from 0 up to but not including 1, found {value}"),
        ))
    }
}

fn at_least_one(key: &str, value: u64) -> Result<(), ConfigError> {
    if value == 0 { Err(ConfigError::new(key, "expected 1 or more, found 0")) } else { Ok(()) }
}

/// Bounds that keep arithmetic on sizes far from overflow and refuse a slip of the finger; a model's are beside it.
const MOST_BATCH: u32 = 1 << 24;
const MOST_RANKS: u32 = 1 << 14;
const MOST_STEPS: u64 = 1 << 32;

/// What was found to be wrong, in the order of the keys.
#[derive(Default)]
pub(super) struct Found(pub(super) Vec<ConfigError>);

impl Found {
    pub(super) fn find(&mut self, key: &str, message: impl Into<String>) {
        self.0.push(ConfigError::new(key, message));
    }

    /// A check that found something or not.
    pub(super) fn check(&mut self, checked: Result<(), ConfigError>) {
        self.0.extend(checked.err());
    }
}

impl TrainConfig {
    /// All that is wrong and that the types cannot say.
    pub fn problems(&self) -> Vec<ConfigError> {
        let mut found = Found::default();
        match (&self.model, &self.from) {
            (Some(model), _) => model.check(&mut found),
            (None, Some(_)) => {}
            (None, None) => found.find("", "expected `model`, or `from`: what to train"),
        }
        self.check_length(&mut found);
        self.check_batch(&mut found);
        self.check_optimizer(&mut found);
        found.check(at_least_one("validation.every", self.validation.every));
        found.check(at_least_one("validation.sequences", self.validation.sequences));
        if !(0.0..=0.5).contains(&self.validation.fraction) {
            found.find(
                "validation.fraction",
                format!("expected 0 to 0.5, found {}", self.validation.fraction),
            );
        }
        found.check(at_least_one("checkpoint.every", self.checkpoint.every));
        found.check(at_least_one("checkpoint.keep_last", u64::from(self.checkpoint.keep_last)));
        if self.precision == Precision::Bf16 {
            found.find("precision", "`bf16` is not there yet: expected `f32`");
        }
        if !self.deterministic {
            found.find(
                "deterministic",
                "there is no way to train that is not deterministic: expected `true`, or leave the key out",
            );
        }
        let factor = self.divergence.spike_factor;
        if factor != 0.0 && !(factor > 1.0 && factor.is_finite()) {
            found.find(
                "divergence.spike_factor",
                format!("expected 0 (off) or a number above 1, found {factor}"),
            );
        }
        found.0
    }

    fn check_length(&self, found: &mut Found) {
        match (self.steps, self.tokens) {
            (None, None) => found.find("", "expected `steps` or `tokens`: how long to train"),
            (Some(_), Some(_)) => found.find("tokens", "`steps` and `tokens` exclude each other"),
            (Some(steps), None) => found.check(at_least_one("steps", steps)),
            (None, Some(tokens)) => found.check(at_least_one("tokens", tokens)),
        }
        if let Some(steps) = self.total_steps().filter(|steps| *steps > MOST_STEPS) {
            let key = if self.steps.is_some() { "steps" } else { "tokens" };
            found.find(key, format!("expected at most {MOST_STEPS} steps, found {steps}"));
        }
    }

    /// Of numbers that hang together only the first that is wrong is said: the others may be right.
    fn check_batch(&self, found: &mut Found) {
        let micro_batch = self.micro_batch();
        if self.global_batch == 0 || self.global_batch > MOST_BATCH {
            found.find("global_batch", format!("expected 1 to {MOST_BATCH}, found {}", self.global_batch));
        } else if micro_batch == 0 || !self.global_batch.is_multiple_of(micro_batch) {
            found.find(
                "micro_batch",
                format!("expected a divisor of `global_batch` ({}), found {micro_batch}", self.global_batch),
            );
        } else if self.world_size == 0 || self.world_size > MOST_RANKS {
            found.find("world_size", format!("expected 1 to {MOST_RANKS}, found {}", self.world_size));
        } else if self.world_size > self.micro_batches() {
            found.find(
                "world_size",
                format!(
                    "{} ranks are more than the {} micro-batches of a step: lower `world_size` or `micro_batch` \
                     ({micro_batch}), or raise `global_batch` ({})",
                    self.world_size,
                    self.micro_batches(),
                    self.global_batch
                ),
            );
        } else if !(1..=self.world_size).contains(&self.min_world_size()) {
            found.find(
                "min_world_size",
                format!("expected 1 to `world_size` ({}), found {}", self.world_size, self.min_world_size()),
            );
        }
    }

    fn check_optimizer(&self, found: &mut Found) {
        let optimizer = &self.optimizer;
        for (key, value) in
            [("optimizer.learning_rate", optimizer.learning_rate), ("optimizer.epsilon", optimizer.epsilon)]
        {
            if !(value > 0.0 && value.is_finite()) {
                found.find(key, format!("expected a number above 0, found {value}"));
            }
        }
        for (index, beta) in optimizer.betas.iter().enumerate() {
            found.check(below_one(&format!("optimizer.betas[{index}]"), *beta));
        }
        for (key, value) in
            [("optimizer.weight_decay", optimizer.weight_decay), ("gradient_clip", self.gradient_clip)]
        {
            if !(value >= 0.0 && value.is_finite()) {
                found.find(key, format!("expected 0 or more, found {value}"));
            }
        }
        if !(0.0..=1.0).contains(&self.schedule.final_fraction) {
            let value = self.schedule.final_fraction;
            found.find("schedule.final_fraction", format!("expected 0 to 1, found {value}"));
        }
        // Without a length, or with one that is none, nothing fits.
        let Some(steps) = self.total_steps().filter(|steps| *steps > 0) else { return };
        let (warmup, decay) = (self.schedule.warmup.of(steps), self.schedule.decay.of(steps));
        let decay = if self.schedule.shape == ScheduleShape::Wsd { decay } else { 0 };
        if warmup.saturating_add(decay) > steps {
            found.find(
                "schedule.warmup",
                format!("{warmup} steps of warm-up and {decay} of decay do not fit in {steps} steps"),
            );
        }
    }
}
