//! Curves over steps.

use std::fmt::Write;

use super::scale::Scale;
use super::{BOTTOM, HEIGHT, LEFT, RIGHT, TOP, Tick, WIDTH, place};
use crate::training::Point;

/// A curve with its name and style class.
pub(in crate::report) struct Series<'a> {
    /// Shown in the legend.
    pub(in crate::report) name: &'a str,
    /// Its class in the style sheet.
    pub(in crate::report) class: &'static str,
    /// Its points by rising step.
    pub(in crate::report) points: &'a [Point],
    /// Whether each point gets a dot; for curves of few points.
    pub(in crate::report) dots: bool,
}

/// A chart of curves, placed.
pub(in crate::report) struct LineChart {
    pub(in crate::report) title: String,
    pub(in crate::report) description: String,
    pub(in crate::report) x_name: &'static str,
    pub(in crate::report) x_ticks: Vec<Tick>,
    pub(in crate::report) y_ticks: Vec<Tick>,
    pub(in crate::report) curves: Vec<Curve>,
}

/// A placed curve.
pub(in crate::report) struct Curve {
    pub(in crate::report) name: String,
    pub(in crate::report) class: &'static str,
    /// Data of an SVG path.
    pub(in crate::report) path: String,
    pub(in crate::report) dots: Vec<Dot>,
}

/// A dot with the words shown when it is pointed at.
pub(in crate::report) struct Dot {
    pub(in crate::report) x: String,
    pub(in crate::report) y: String,
    pub(in crate::report) label: String,
}

/// Dots closer than this many to a chart become one line.
const MAX_DOTS: usize = 60;

impl LineChart {
    /// Places curves; with `from_zero` the vertical axis starts at 0.
    pub(in crate::report) fn new(
        title: &str,
        description: String,
        series: &[Series<'_>],
        from_zero: bool,
    ) -> Self {
        let points = || series.iter().flat_map(|series| series.points);
        let steps = points().map(|p| p.step).fold((u64::MAX, 0), |(low, high), s| (low.min(s), high.max(s)));
        let values = points().map(|p| p.value);
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        let x = Scale::new(steps.0 as f64, steps.1 as f64, (LEFT, WIDTH - RIGHT), 8, false);
        let y = Scale::new(if from_zero { 0.0 } else { low }, high, (HEIGHT - BOTTOM, TOP), 5, true);
        let curves = series.iter().filter(|series| !series.points.is_empty()).map(|series| {
            let mut path = String::new();
            for (index, point) in series.points.iter().enumerate() {
                let command = if index == 0 { 'M' } else { 'L' };
                // Writing to a string cannot fail.
                let _ =
                    write!(path, "{command}{} {}", place(x.at(point.step as f64)), place(y.at(point.value)));
            }
            let dots = series.points.iter().take(if series.dots && series.points.len() <= MAX_DOTS {
                MAX_DOTS
            } else {
                0
            });
            let dots = dots.map(|point| Dot {
                x: place(x.at(point.step as f64)),
                y: place(y.at(point.value)),
                label: format!("{}, step {}: {:.4}", series.name, point.step, point.value),
            });
            Curve { name: series.name.to_owned(), class: series.class, path, dots: dots.collect() }
        });
        let whole_steps = |tick: &&f64| tick.fract() == 0.0;
        Self {
            title: title.to_owned(),
            description,
            x_name: "step",
            x_ticks: x
                .ticks
                .iter()
                .filter(whole_steps)
                .map(|&t| Tick { at: place(x.at(t)), label: x.label(t) })
                .collect(),
            y_ticks: y.ticks.iter().map(|&t| Tick { at: place(y.at(t)), label: y.label(t) }).collect(),
            curves: curves.collect(),
        }
    }
}
