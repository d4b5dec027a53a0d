//! Stacked upright bars side by side.

use super::scale::Scale;
use super::{BOTTOM, HEIGHT, LEFT, RIGHT, TOP, Tick, WIDTH, place};

/// One bar's figures.
pub(in crate::report) struct Group {
    /// Stands below it; empty for none.
    pub(in crate::report) label: String,
    /// Shown when it is pointed at.
    pub(in crate::report) hint: String,
    /// The lower part.
    pub(in crate::report) kept: u64,
    /// The part on top of it.
    pub(in crate::report) dropped: u64,
}

/// A chart of bars, placed.
pub(in crate::report) struct BarChart {
    pub(in crate::report) title: String,
    pub(in crate::report) description: String,
    pub(in crate::report) x_name: &'static str,
    pub(in crate::report) x_ticks: Vec<Tick>,
    pub(in crate::report) y_ticks: Vec<Tick>,
    pub(in crate::report) bars: Vec<Bar>,
    /// Whether there are two parts, so that a legend is needed.
    pub(in crate::report) stacked: bool,
}

/// A placed bar.
pub(in crate::report) struct Bar {
    pub(in crate::report) x: String,
    pub(in crate::report) width: String,
    pub(in crate::report) kept: Option<Part>,
    pub(in crate::report) dropped: Option<Part>,
    pub(in crate::report) hint: String,
}

/// The vertical extent of a part of a bar.
pub(in crate::report) struct Part {
    pub(in crate::report) y: String,
    pub(in crate::report) height: String,
}

/// Bars of few groups do not grow wider than this.
const MAX_PITCH: f64 = 90.0;

impl BarChart {
    /// Places groups from left to right.
    pub(in crate::report) fn new(
        title: &str,
        description: String,
        x_name: &'static str,
        groups: &[Group],
    ) -> Self {
        let highest = groups.iter().map(|group| group.kept + group.dropped).max().unwrap_or(0).max(1);
        let count = if highest < 5 { highest as u32 } else { 5 };
        let y = Scale::new(0.0, highest as f64, (HEIGHT - BOTTOM, TOP), count, true);
        let pitch = ((WIDTH - LEFT - RIGHT) / groups.len().max(1) as f64).min(MAX_PITCH);
        let gap = (pitch * 0.14).clamp(1.0, 10.0);
        let part = |from: u64, to: u64| {
            (to > from).then(|| {
                let (bottom, top) = (y.at(from as f64), y.at(to as f64));
                // A count of one beside a million still leaves a mark.
                let height = (bottom - top).max(1.0);
                Part { y: place(bottom - height), height: place(height) }
            })
        };
        let left = |index: usize| LEFT + pitch * index as f64;
        let bars = groups.iter().enumerate().map(|(index, group)| Bar {
            x: place(left(index) + gap / 2.0),
            width: place(pitch - gap),
            kept: part(0, group.kept),
            dropped: part(group.kept, group.kept + group.dropped),
            hint: group.hint.clone(),
        });
        let labels = groups.iter().enumerate().filter(|(_, group)| !group.label.is_empty());
        Self {
            title: title.to_owned(),
            description,
            x_name,
            x_ticks: labels
                .map(|(index, group)| Tick {
                    at: place(left(index) + pitch / 2.0),
                    label: group.label.clone(),
                })
                .collect(),
            y_ticks: y.ticks.iter().map(|&t| Tick { at: place(y.at(t)), label: y.label(t) }).collect(),
            bars: bars.collect(),
            stacked: groups.iter().any(|group| group.dropped > 0)
                && groups.iter().any(|group| group.kept > 0),
        }
    }
}
