//! What a Llama is told beside the sizes that every family has.

use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::families::{LARGEST_SIZE, ModelConfig};

/// Options of the family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlamaOptions {
    /// Heads of keys and values; they divide the heads of queries.
    pub kv_heads: usize,
    /// Width of the feed-forward network between its two maps.
    pub inner: usize,
    /// Whether the output projection is the token embedding.
    pub tied: bool,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the frequencies were stretched for longer contexts, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
    /// Added to the mean square under the root.
    pub epsilon: f64,
}

/// Llama 3.1's stretching of rotary positions (Grattafiori et al., 2024, and the public library's `rope_type: llama3`):
/// frequencies whose wavelength is long beside the context of pretraining are divided, short ones stay, and those between
/// are blended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RopeScaling {
    /// What low frequencies are divided by.
    pub factor: f64,
    /// The context of pretraining over this is the wavelength from which on frequencies are low.
    pub low_freq_factor: f64,
    /// The context of pretraining over this is the wavelength up to which frequencies are high.
    pub high_freq_factor: f64,
    /// Tokens that the model saw at once before it was stretched.
    pub original_context: usize,
}

impl LlamaOptions {
    /// Radians a position for each of the `half` pairs of channels of a head.
    pub fn frequencies(&self, half: usize) -> Vec<f32> {
        (0..half)
            .map(|pair| {
                let frequency = self.rope_theta.powf(-(pair as f64) / half as f64);
                self.rope_scaling.map_or(frequency, |scaling| scaling.of(frequency)) as f32
            })
            .collect()
    }
}

impl RopeScaling {
    fn of(&self, frequency: f64) -> f64 {
        // How often the wave goes round within the context of pretraining.
        let turns = self.original_context as f64 * frequency / std::f64::consts::TAU;
        if turns > self.high_freq_factor {
            return frequency;
        }
        if turns < self.low_freq_factor {
            return frequency / self.factor;
        }
        let share = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor);
        (1.0 - share) * frequency / self.factor + share * frequency
    }
}

/// Checks what the family adds. Sizes that every family has are checked already.
pub fn validate(config: &ModelConfig) -> Result<(), ModelError> {
    let check = |holds: bool, field: &'static str, value: String, expected: String| {
        if holds { Ok(()) } else { Err(ModelError::Config { field, value, expected }) }
    };
    let Some(options) = &config.llama else {
        let expected = "the options of the family `llama`".to_owned();
        return Err(ModelError::Config { field: "llama", value: "none".to_owned(), expected });
    };
    let heads = config.heads;
    let divides = options.kv_heads > 0 && heads.is_multiple_of(options.kv_heads);
    check(divides, "kv_heads", options.kv_heads.to_string(), format!("a divisor of the heads `{heads}`"))?;
    let size = config.width / heads;
    let expected = format!("heads of an even size, not `{size}`: rotary positions turn channels in pairs");
    check(size.is_multiple_of(2), "heads", heads.to_string(), expected)?;
    let is_size = (1..=LARGEST_SIZE).contains(&options.inner);
    check(is_size, "inner", options.inner.to_string(), format!("a number from 1 to {LARGEST_SIZE}"))?;
    let above = |bound: f64, value: f64| value.is_finite() && value > bound;
    let theta = options.rope_theta;
    check(above(1.0, theta), "rope_theta", theta.to_string(), "a number above 1".to_owned())?;
    let epsilon = options.epsilon;
    check(above(0.0, epsilon), "epsilon", epsilon.to_string(), "a positive number".to_owned())?;
    if let Some(scaling) = options.rope_scaling {
        let holds = above(0.0, scaling.factor)
            && above(0.0, scaling.low_freq_factor)
            && above(scaling.low_freq_factor, scaling.high_freq_factor)
            && (1..=LARGEST_SIZE).contains(&scaling.original_context);
        let expected = "positive numbers, `high_freq_factor` above `low_freq_factor`".to_owned();
        check(holds, "rope_scaling", format!("{scaling:?}"), expected)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(rope_scaling: Option<RopeScaling>) -> LlamaOptions {
        LlamaOptions {
            kv_heads: 1,
            inner: 8,
            tied: false,
            rope_theta: 500_000.0,
            rope_scaling,
            epsilon: 1e-5,
        }
    }

    #[test]
    fn stretching_divides_long_waves_and_spares_short_ones() {
        let scaling =
            RopeScaling { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 8192 };
        let (plain, stretched) = (options(None).frequencies(64), options(Some(scaling)).frequencies(64));
        assert!((plain[0] - 1.0).abs() < 1e-7 && (plain[32] - 500_000.0_f32.powf(-0.5)).abs() < 1e-9);
        let mut blended = 0;
        for (plain, stretched) in plain.iter().zip(&stretched) {
            let wavelength = std::f64::consts::TAU / f64::from(*plain);
            let ratio = f64::from(plain / stretched);
            if wavelength < 8192.0 / 4.0 {
                assert!((ratio - 1.0).abs() < 1e-6, "{wavelength}: {ratio}");
            } else if wavelength > 8192.0 {
                assert!((ratio - 8.0).abs() < 1e-5, "{wavelength}: {ratio}");
            } else {
                blended += 1;
                assert!(ratio > 1.0 && ratio < 8.0, "{wavelength}: {ratio}");
            }
        }
        assert!(blended > 2);
    }
}
