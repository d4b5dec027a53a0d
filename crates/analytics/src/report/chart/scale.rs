//! Linear scales with round ticks.

/// Maps values to coordinates, with ticks at multiples of 1, 2 or 5 times a power of ten.
pub(super) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    /// Values of the ticks, rising.
    pub(super) ticks: Vec<f64>,
    step: f64,
}

impl Scale {
    /// Covers `low..=high` by coordinates `from..=to` with about `count` ticks. With `round` the ends are ticks too.
    pub(super) fn new(low: f64, high: f64, (from, to): (f64, f64), count: u32, round: bool) -> Self {
        let (low, high) = if high > low { (low, high) } else { (low - 0.5, low + 0.5) };
        let raw = (high - low) / f64::from(count.max(1));
        let power = 10f64.powf(raw.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|&step| step >= raw * 0.999);
        let step = step.unwrap_or(raw).max(f64::MIN_POSITIVE);
        let (low, high) =
            if round { ((low / step).floor() * step, (high / step).ceil() * step) } else { (low, high) };
        let first = (low / step - 1e-9).ceil();
        let last = (high / step + 1e-9).floor();
        let ticks =
            (0..=(last - first).clamp(0.0, 50.0) as u32).map(|i| (first + f64::from(i)) * step).collect();
        Self { low, high, from, to, ticks, step }
    }

    /// The coordinate of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// A tick's label: as many decimals as the ticks need, thousands as `k`, millions as `M`.
    pub(super) fn label(&self, value: f64) -> String {
        for (unit, suffix) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
            if self.high.abs().max(self.low.abs()) >= unit * 10.0 || (unit < 1e4 && self.step >= 500.0) {
                return if value == 0.0 {
                    "0".to_owned()
                } else {
                    format!("{}{suffix}", decimals(value / unit, self.step / unit))
                };
            }
        }
        decimals(value, self.step)
    }
}

fn decimals(value: f64, step: f64) -> String {
    let digits = (-step.log10().floor()).clamp(0.0, 9.0) as usize;
    // `-0` reads as a slip.
    let value = if value == 0.0 { 0.0 } else { value };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64) -> Vec<String> {
        let scale = Scale::new(low, high, (0.0, 100.0), 5, true);
        scale.ticks.iter().map(|&tick| scale.label(tick)).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(0.0, 9.3), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(labels(2.31, 2.62), ["2.3", "2.4", "2.5", "2.6", "2.7"]);
        assert_eq!(labels(0.0, 48_000.0), ["0", "10k", "20k", "30k", "40k", "50k"]);
        assert_eq!(labels(3.0, 3.0), ["2.4", "2.6", "2.8", "3.0", "3.2", "3.4", "3.6"]);
        assert_eq!(labels(0.0, 2_100.0), ["0", "0.5k", "1.0k", "1.5k", "2.0k", "2.5k"]);
    }

    #[test]
    fn values_fall_between_the_ends() {
        let scale = Scale::new(0.0, 10.0, (200.0, 0.0), 5, true);
        assert!(
            (scale.at(0.0) - 200.0).abs() < 1e-9
                && scale.at(10.0).abs() < 1e-9
                && (scale.at(2.5) - 150.0).abs() < 1e-9
        );
    }
}
