//! AdamW over a rank's share of the flat weights. Each rank keeps the moments of its share only.

use std::ops::Range;

use orchestrator_model::ParameterLayout;
use orchestrator_model::kernels::optimizer::{AdamStep, CHUNK, adamw};

use crate::options::OptimizerOptions;

/// The share of each rank: contiguous, in whole chunks, so that partial sums of squares do not depend on the ranks.
pub fn shares(total: usize, world_size: usize) -> Vec<Range<usize>> {
    let chunks = total.div_ceil(CHUNK);
    let bound = |rank: usize| (chunks * rank / world_size * CHUNK).min(total);
    (0..world_size).map(|rank| bound(rank)..bound(rank + 1)).collect()
}

/// Moments of a share, and where decay acts.
pub struct AdamW {
    share: Range<usize>,
    first: Vec<f32>,
    second: Vec<f32>,
    /// Spans of the flat vector inside the share, with whether they decay.
    spans: Vec<(Range<usize>, bool)>,
}

impl AdamW {
    /// An optimizer that has seen nothing.
    pub fn new(layout: &ParameterLayout, share: Range<usize>) -> Self {
        let zeros = vec![0.0; share.len()];
        Self::with_moments(layout, share, zeros.clone(), zeros)
    }

    /// An optimizer from a checkpoint; both moments have the share's length.
    pub fn with_moments(
        layout: &ParameterLayout,
        share: Range<usize>,
        first: Vec<f32>,
        second: Vec<f32>,
    ) -> Self {
        let mut spans: Vec<(Range<usize>, bool)> = Vec::new();
        for parameter in layout {
            let span = parameter.span();
            let span = span.start.max(share.start)..span.end.min(share.end);
            match spans.last_mut() {
                _ if span.is_empty() => {}
                Some((last, decays)) if *decays == parameter.decays() => last.end = span.end,
                _ => spans.push((span, parameter.decays())),
            }
        }
        Self { share, first, second, spans }
    }

    /// The share.
    pub fn share(&self) -> Range<usize> {
        self.share.clone()
    }

    /// First and second moments.
    pub fn moments(&self) -> (&[f32], &[f32]) {
        (&self.first, &self.second)
    }

    /// Updates the share of `weights` with the share's summed gradient. `time` counts updates from 1; `scale` multiplies
    /// the gradient (average and clipping).
    pub fn update(
        &mut self,
        options: &OptimizerOptions,
        weights: &mut [f32],
        gradient: &[f32],
        (learning_rate, time, scale): (f64, u64, f64),
    ) {
        let [beta1, beta2] = options.betas;
        let exponent = time.min(i32::MAX as u64) as i32;
        let mut step = AdamStep {
            learning_rate: learning_rate as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            epsilon: options.epsilon as f32,
            weight_decay: 0.0,
            correction1: (1.0 / (1.0 - beta1.powi(exponent))) as f32,
            correction2: (1.0 / (1.0 - beta2.powi(exponent))) as f32,
            gradient_scale: scale as f32,
        };
        for (span, decays) in &self.spans {
            step.weight_decay = if *decays { options.weight_decay as f32 } else { 0.0 };
            let local = span.start - self.share.start..span.end - self.share.start;
            let (first, second) = (&mut self.first[local.clone()], &mut self.second[local.clone()]);
            adamw(&mut weights[span.clone()], &gradient[local], first, second, &step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orchestrator_model::parameters::Init;

    #[test]
    fn updates_follow_the_formula_and_spare_biases_from_decay() {
        let mut layout = ParameterLayout::default();
        layout.push("matrix", &[2, 3], Init::Ones);
        layout.push("bias", &[3], Init::Ones);
        let options = OptimizerOptions::default();
        let mut weights = vec![1.0_f32; 9];
        let mut optimizer = AdamW::new(&layout, 0..9);
        let (mut m, mut v, mut exact) = (0.0_f64, 0.0_f64, [1.0_f64, 1.0]);
        for time in 1..=5_u64 {
            let gradient = 0.3 * time as f64;
            optimizer.update(&options, &mut weights, &[2.0 * gradient as f32; 9], (0.01, time, 0.5));
            m = 0.9 * m + 0.1 * gradient;
            v = 0.95 * v + 0.05 * gradient * gradient;
            let t = time as i32;
            let change =
                0.01 * (m / (1.0 - 0.9_f64.powi(t))) / ((v / (1.0 - 0.95_f64.powi(t))).sqrt() + 1e-8);
            exact = [exact[0] * (1.0 - 0.01 * 0.1) - change, exact[1] - change];
        }
        assert!((f64::from(weights[0]) - exact[0]).abs() < 1e-6, "{weights:?} {exact:?}");
        assert!((f64::from(weights[8]) - exact[1]).abs() < 1e-6, "{weights:?} {exact:?}");
    }

    #[test]
    fn shares_cover_everything_in_whole_chunks() {
        for (total, world_size) in [(10, 4), (CHUNK * 7 + 5, 3), (CHUNK * 2, 2)] {
            let shares = shares(total, world_size);
            assert_eq!((shares[0].start, shares[world_size - 1].end), (0, total));
            assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(shares.iter().all(|share| share.start % CHUNK == 0 || share.start == total));
        }
    }
}
