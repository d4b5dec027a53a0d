//! Scalar functions that vectorise, and reductions in a fixed order.

/// Independent partial sums of a reduction. Part of the result's definition: it is the same on every processor.
pub(crate) const LANES: usize = 16;

/// eˣ to about 2 units in the last place, on −87 … 88; beyond, the value at the bound. NaN stays NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// Adding it rounds to an integer and leaves that integer in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    // ln 2 in two parts, the first exact in few bits.
    let r = x - power * 0.693_359_4 + power * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4_f32;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 0.166_666_65;
    p = p * r + 0.5;
    let scale = f32::from_bits((shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127)) << 23);
    (p * r * r + r + 1.0) * scale
}

/// tanh by the exponential; saturates beyond ±9, where f32 has no more digits.
#[expect(clippy::inline_always, reason = "must be compiled inside each instruction set")]
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let e = exp(2.0 * x.clamp(-9.0, 9.0));
    (e - 1.0) / (e + 1.0)
}

/// Sums `term(0..count)` in `LANES` interleaved partial sums, added in order, then the rest.
#[expect(clippy::inline_always, reason = "must be compiled inside each instruction set")]
#[inline(always)]
pub(crate) fn sum(count: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let whole = count / LANES;
    for block in 0..whole {
        for (lane, total) in lanes.iter_mut().enumerate() {
            *total += term(block * LANES + lane);
        }
    }
    let mut total = 0.0;
    for lane in lanes {
        total += lane;
    }
    for i in whole * LANES..count {
        total += term(i);
    }
    total
}

/// Largest element; −∞ for none. Any NaN may be passed over: the sum that follows shows it.
#[expect(clippy::inline_always, reason = "must be compiled inside each instruction set")]
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let blocks = x.chunks_exact(LANES);
    let rest = blocks.remainder();
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| a.max(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_tanh_follow_the_library() {
        for i in -8_000..8_000 {
            let x = i as f32 * 0.01;
            let (ours, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours / exact - 1.0).abs() < 4e-7, "exp({x}) = {ours}, expected {exact}");
            assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 4e-7, "tanh({x})");
        }
        assert!(exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn sums_and_maxima_take_every_element() {
        let x: Vec<f32> = (0..100).map(|i| i as f32).collect();
        for n in 0..100 {
            assert!((sum(n, |i| x[i]) - (n * n.saturating_sub(1) / 2) as f32).abs() < 1e-6);
            let largest = if n == 0 { f32::NEG_INFINITY } else { n as f32 - 1.0 };
            assert_eq!(max(&x[..n]).to_bits(), largest.to_bits());
        }
    }
}
