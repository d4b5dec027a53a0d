//! Bars for a person who watches; nothing where nobody does.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use orchestrator_core::units::ByteSize;
use orchestrator_proto::v1::{JobDetail, PhaseDetail, PhaseState};

use crate::console::{Console, count};

/// One bar for each phase that has begun.
pub(crate) struct Bars {
    all: Option<MultiProgress>,
    by_phase: Mutex<BTreeMap<u32, ProgressBar>>,
    /// What the job was last said to wait for.
    waiting: Mutex<Waiting>,
}

/// A job waits a little at every turn; what lasts longer is told.
const WAIT_TOLD: Duration = Duration::from_secs(3);

struct Waiting {
    texts: Vec<String>,
    since: Instant,
    told: bool,
}

impl Bars {
    /// Shows bars if a person watches.
    pub(crate) fn new(console: &Console) -> Self {
        Self {
            all: console.is_interactive().then(MultiProgress::new),
            by_phase: Mutex::default(),
            waiting: Mutex::new(Waiting { texts: Vec::new(), since: Instant::now(), told: true }),
        }
    }

    /// Draws the state of a job.
    pub(crate) fn show(&self, detail: &JobDetail) {
        let Some(all) = &self.all else { return };
        let mut bars = self.by_phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for phase in detail.phases.iter().filter(|phase| phase.state() != PhaseState::Waiting) {
            let bar = bars.entry(phase.phase).or_insert_with(|| {
                let bar = all.add(ProgressBar::new(1));
                bar.set_style(style());
                bar.set_prefix(phase.name.clone());
                bar
            });
            draw(bar, phase);
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if waiting.texts != detail.waiting {
            *waiting = Waiting { texts: detail.waiting.clone(), since: Instant::now(), told: false };
        }
        if !waiting.told && waiting.since.elapsed() >= WAIT_TOLD {
            waiting.told = true;
            for text in &waiting.texts {
                // A line that cannot be drawn is no reason to stop.
                let _ = all.println(text);
            }
        }
    }

    /// Leaves the bars as they are.
    pub(crate) fn finish(&self, detail: &JobDetail) {
        self.show(detail);
        for bar in self.by_phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner).values() {
            if !bar.is_finished() {
                bar.abandon();
            }
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:<38!} {bar:24} {pos:>6}/{len:<6} {elapsed:>4} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn draw(bar: &ProgressBar, phase: &PhaseDetail) {
    // What is published stays as it is; a position set now would show a phase without tasks as not begun.
    if bar.is_finished() {
        return;
    }
    let training = serde_json::from_str::<Training>(&phase.progress).ok();
    match &training {
        Some(training) if training.steps > 0 => {
            bar.set_length(training.steps);
            bar.set_position(training.step);
            bar.set_message(training.message());
        }
        _ => {
            bar.set_length(u64::from(phase.tasks.max(1)));
            bar.set_position(u64::from(phase.tasks_done));
            if phase.records > 0 {
                bar.set_message(format!("{} records, {}", count(phase.records), ByteSize(phase.bytes)));
            }
        }
    }
    if phase.state() == PhaseState::Published {
        bar.set_position(bar.length().unwrap_or(1));
        bar.finish();
    }
}

/// What a gang says of itself, for a cell of a table: `20/100, loss 3.210, 1,234 tokens/s`; empty where nothing is said.
pub(crate) fn told(progress: &str) -> String {
    let Ok(training) = serde_json::from_str::<Training>(progress) else { return String::new() };
    let steps = if training.steps > 0 { format!("/{}", training.steps) } else { String::new() };
    let mut text = format!("{}{steps}", training.step);
    let message = training.message();
    if !message.is_empty() {
        text += ", ";
        text += message.trim_start_matches(", ");
    }
    text
}

/// What a gang says of itself.
#[derive(serde::Deserialize)]
struct Training {
    step: u64,
    #[serde(default)]
    steps: u64,
    loss: Option<f64>,
    tokens_per_second: Option<f64>,
}

impl Training {
    fn message(&self) -> String {
        let loss = self.loss.map_or_else(String::new, |loss| format!("loss {loss:.3}"));
        let rate = self
            .tokens_per_second
            .map_or_else(String::new, |rate| format!(", {} tokens/s", count(rate as u64)));
        loss + &rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_gang_tells_fits_into_a_cell() {
        let line = r#"{"step":20,"loss":3.21,"lr":0.001,"grad_norm":1.5,"tokens":20480,"tokens_per_second":1234.5,
            "step_ms":829.4,"validation_loss":3.3,"steps":100}"#;
        assert_eq!(told(line), "20/100, loss 3.210, 1,234 tokens/s");
        assert_eq!(told(r#"{"step":3,"loss":null,"tokens_per_second":90.0,"steps":4}"#), "3/4, 90 tokens/s");
        assert_eq!(told(r#"{"step":3}"#), "3");
        assert_eq!(told(""), "");
    }

    #[test]
    fn a_phase_without_tasks_ends_full_and_stays_so() {
        let bar = ProgressBar::hidden();
        let phase = PhaseDetail { state: PhaseState::Published.into(), ..PhaseDetail::default() };
        for _ in 0..3 {
            draw(&bar, &phase);
            assert!(bar.is_finished());
            assert_eq!((bar.position(), bar.length()), (1, Some(1)));
        }
    }
}
