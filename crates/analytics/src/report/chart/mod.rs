//! Geometry of charts: from figures to coordinates. The templates turn it into SVG.

mod bars;
mod line;
mod scale;

pub(super) use bars::{BarChart, Group};
pub(super) use line::{LineChart, Series};

/// Width of every chart in its own units; it scales with the page.
const WIDTH: f64 = 720.0;
/// Height of every chart.
const HEIGHT: f64 = 260.0;
/// Room for the labels of the vertical axis.
const LEFT: f64 = 56.0;
/// Room at the right.
const RIGHT: f64 = 14.0;
/// Room at the top.
const TOP: f64 = 12.0;
/// Room for the labels of the horizontal axis.
const BOTTOM: f64 = 34.0;

/// A labelled place on an axis.
pub(super) struct Tick {
    /// Coordinate along the axis, rounded for the file's sake.
    pub(super) at: String,
    /// What stands there.
    pub(super) label: String,
}

/// A coordinate with one decimal: finer than a pixel, and the same on every machine.
fn place(value: f64) -> String {
    format!("{value:.1}")
}
