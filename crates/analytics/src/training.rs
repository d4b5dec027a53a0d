//! What training said of itself: `metrics.jsonl`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use polars::prelude::{DataFrame, NamedFrom, Series};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::run::Run;

/// A line longer than this is no line of ours.
const MAX_LINE_BYTES: u64 = 1 << 16;
/// More steps than any run has; keeps a hostile file from filling memory.
const MAX_STEPS: usize = 20_000_000;

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The step.
    pub step: u64,
    /// The value at that step.
    pub value: f64,
}

/// One step of training. A value that was not finite is `null` on disk and absent here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the names are those of the file")]
pub(crate) struct Step {
    pub(crate) step: u64,
    pub(crate) loss: Option<f64>,
    pub(crate) lr: Option<f64>,
    pub(crate) grad_norm: Option<f64>,
    pub(crate) tokens: Option<u64>,
    pub(crate) tokens_per_second: Option<f64>,
    pub(crate) step_ms: Option<f64>,
    pub(crate) validation_loss: Option<f64>,
}

/// All steps, each once, by number.
pub(crate) struct Metrics(pub(crate) Vec<Step>);

impl Metrics {
    /// Reads `metrics.jsonl`; `None` where there is no such file or no step in it.
    ///
    /// A line that is no JSON is passed over: a training that was killed may leave half a line at the end. Of two
    /// lines for one step the later counts, since it is the one after a rollback.
    pub(crate) fn read(run: &Run) -> Result<Option<Self>, Error> {
        const FILE: &str = "metrics.jsonl";
        if run.files().fetch(&[FILE])?.is_some() {
            return Ok(None);
        }
        let path = run.files().place(FILE);
        let file = File::open(&path).map_err(Error::read(&path))?;
        let mut reader = BufReader::new(file);
        let mut steps = BTreeMap::new();
        let mut line = Vec::new();
        while steps.len() < MAX_STEPS {
            line.clear();
            let read = reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
            if read.map_err(Error::read(&path))? == 0 {
                break;
            }
            if let Ok(step) = serde_json::from_slice::<Step>(&line) {
                steps.insert(step.step, step);
            }
        }
        Ok((!steps.is_empty()).then(|| Self(steps.into_values().collect())))
    }

    /// The steps as a table.
    pub(crate) fn frame(&self) -> Result<DataFrame, Error> {
        let numbers = |name: &str, pick: fn(&Step) -> Option<f64>| {
            Series::new(name.into(), self.0.iter().map(pick).collect::<Vec<_>>()).into()
        };
        let columns = vec![
            Series::new("step".into(), self.0.iter().map(|s| s.step).collect::<Vec<_>>()).into(),
            numbers("loss", |s| s.loss),
            numbers("lr", |s| s.lr),
            numbers("grad_norm", |s| s.grad_norm),
            Series::new("tokens".into(), self.0.iter().map(|s| s.tokens).collect::<Vec<_>>()).into(),
            numbers("tokens_per_second", |s| s.tokens_per_second),
            numbers("step_ms", |s| s.step_ms),
            numbers("validation_loss", |s| s.validation_loss),
        ];
        Ok(DataFrame::new(self.0.len(), columns)?)
    }

    /// The finite values of one column.
    pub(crate) fn curve(&self, pick: fn(&Step) -> Option<f64>) -> Vec<Point> {
        let points =
            self.0.iter().filter_map(|step| pick(step).map(|value| Point { step: step.step, value }));
        points.filter(|point| point.value.is_finite()).collect()
    }
}

/// Thins a curve to about `points` points and keeps its extremes: of each stretch, the lowest and the highest.
pub(crate) fn thin(curve: &[Point], points: usize) -> Vec<Point> {
    let stretches = (points / 2).max(1);
    if curve.len() <= stretches * 2 {
        return curve.to_vec();
    }
    let mut thinned = Vec::with_capacity(stretches * 2 + 2);
    thinned.push(curve[0]);
    let length = curve.len().div_ceil(stretches);
    for stretch in curve.chunks(length) {
        let by_value = |a: &&Point, b: &&Point| a.value.total_cmp(&b.value);
        let (Some(&low), Some(&high)) = (stretch.iter().min_by(by_value), stretch.iter().max_by(by_value))
        else {
            continue;
        };
        thinned.extend(if low.step <= high.step { [low, high] } else { [high, low] });
    }
    thinned.push(curve[curve.len() - 1]);
    thinned.dedup_by_key(|point| point.step);
    thinned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_ends_and_extremes() {
        let curve: Vec<_> = (0..10_000)
            .map(|step| Point { step, value: if step == 777 { 99.0 } else { step as f64 / 1e4 } })
            .collect();
        let thinned = thin(&curve, 200);
        assert!(thinned.len() <= 202, "{}", thinned.len());
        assert_eq!(thinned.first().map(|p| p.step), Some(0));
        assert_eq!(thinned.last().map(|p| p.step), Some(9_999));
        assert!(thinned.iter().any(|p| p.step == 777));
        assert!(thinned.is_sorted_by(|a, b| a.step < b.step));
    }
}
