//! How far a job is: bars for a person who watches, lines for a log.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use orchestrator_core::units::ByteSize;
use orchestrator_proto::v1::{JobDetail, PhaseDetail, PhaseState};

use crate::commands::remote::has_ended;
use crate::console::{Console, count};

/// How often a log is told of a phase that goes on.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Shows how far a job is, in the way that standard error is made for.
pub(crate) enum Progress {
    /// A terminal.
    Bars(Bars),
    /// A file or a pipe.
    Lines(Mutex<Lines>),
}

impl Progress {
    pub(crate) fn new(console: &Console) -> Self {
        if console.is_interactive() {
            Self::Bars(Bars::new())
        } else {
            Self::Lines(Mutex::new(Lines::new(Instant::now())))
        }
    }

    /// Shows the state of a job.
    pub(crate) fn show(&self, detail: &JobDetail, console: &Console) {
        match self {
            Self::Bars(bars) => bars.show(detail),
            Self::Lines(lines) => {
                let mut lines = lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                for line in lines.of(detail, Instant::now()) {
                    console.note(&line);
                }
            }
        }
    }

    /// Shows the last state of a job.
    pub(crate) fn finish(&self, detail: &JobDetail, console: &Console) {
        self.show(detail, console);
        if let Self::Bars(bars) = self {
            bars.finish();
        }
    }
}

/// A line for each phase that begins or ends, and now and then one for those that go on.
pub(crate) struct Lines {
    /// What was last said of each phase.
    said: BTreeMap<u32, PhaseState>,
    /// Nothing is said of a job that had ended before anybody watched.
    is_first: bool,
    told: Instant,
}

impl Lines {
    fn new(now: Instant) -> Self {
        Self { said: BTreeMap::new(), is_first: true, told: now }
    }

    /// What there is to say of a job now.
    fn of(&mut self, detail: &JobDetail, now: Instant) -> Vec<String> {
        let was_over = std::mem::take(&mut self.is_first) && has_ended(detail);
        let mut lines = Vec::new();
        let is_due = now.duration_since(self.told) >= LINE_EVERY;
        for phase in detail.phases.iter().filter(|_| !was_over) {
            let said = self.said.get(&phase.phase).copied().unwrap_or(PhaseState::Waiting);
            let name = format!("phase {}/{} {}", phase.phase + 1, detail.phases.len(), phase.name);
            match (said, phase.state()) {
                // One that was quick may have begun and ended since the last look.
                (PhaseState::Waiting, PhaseState::Running | PhaseState::Published | PhaseState::Failed) => {
                    // Before it is expanded, nobody knows how many tasks it has.
                    lines.push(match phase.tasks {
                        0 => format!("{name} begins"),
                        tasks => format!("{name} begins: {} tasks", count(u64::from(tasks))),
                    });
                }
                (PhaseState::Running, PhaseState::Running | PhaseState::Waiting) if is_due => {
                    lines.push(format!("{name} goes on: {}", in_words(phase)));
                }
                _ => {}
            }
            let now_said = match phase.state() {
                // A phase that waits for workers between two tasks has begun all the same.
                PhaseState::Waiting => said,
                state => state,
            };
            if now_said != said && phase.state() != PhaseState::Running {
                let how = match phase.state() {
                    PhaseState::Published => "is done",
                    PhaseState::Failed => "failed",
                    _ => "was stopped",
                };
                lines.push(format!("{name} {how}: {}", in_words(phase)));
            }
            self.said.insert(phase.phase, now_said);
        }
        if is_due {
            lines.extend(detail.waiting.iter().cloned());
            self.told = now;
        }
        lines
    }
}

/// How far a phase is.
fn in_words(phase: &PhaseDetail) -> String {
    let training = told(&phase.progress);
    if !training.is_empty() {
        return training;
    }
    let tasks = format!("{} of {} tasks", phase.tasks_done, phase.tasks);
    if phase.records == 0 {
        return tasks;
    }
    format!("{tasks}, {} records, {}", count(phase.records), ByteSize(phase.bytes))
}

/// One bar for each phase that has begun.
pub(crate) struct Bars {
    all: MultiProgress,
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
    fn new() -> Self {
        Self {
            all: MultiProgress::new(),
            by_phase: Mutex::default(),
            waiting: Mutex::new(Waiting { texts: Vec::new(), since: Instant::now(), told: true }),
        }
    }

    /// Draws the state of a job.
    fn show(&self, detail: &JobDetail) {
        let mut bars = self.by_phase.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let has_begun =
            |phase: &&PhaseDetail| phase.state() != PhaseState::Waiting || bars.contains_key(&phase.phase);
        let begun: Vec<&PhaseDetail> = detail.phases.iter().filter(has_begun).collect();
        for phase in begun {
            let bar = bars.entry(phase.phase).or_insert_with(|| {
                let bar = self.all.add(ProgressBar::new(1));
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
                let _ = self.all.println(text);
            }
        }
    }

    /// Leaves the bars as they are.
    fn finish(&self) {
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
    fn a_log_is_told_of_each_phase_once_and_of_long_ones_now_and_then() {
        use JobState::{Failed, Running as Runs, Succeeded};
        use PhaseState::{Published, Running, Waiting};
        use orchestrator_proto::v1::{JobState, JobSummary};

        let phase = |number, state: PhaseState, done| PhaseDetail {
            phase: number,
            name: ["map", "train"][number as usize].to_owned(),
            state: state.into(),
            tasks: 4,
            tasks_done: done,
            ..PhaseDetail::default()
        };
        let detail = |state: JobState, phases| JobDetail {
            summary: Some(JobSummary { state: state.into(), ..JobSummary::default() }),
            phases,
            ..JobDetail::default()
        };
        let begin = Instant::now();
        let mut lines = Lines::new(begin);
        let mut at = |seconds, detail: &JobDetail| lines.of(detail, begin + Duration::from_secs(seconds));
        let first = detail(Runs, vec![phase(0, Running, 1), phase(1, Waiting, 0)]);
        assert_eq!(at(0, &first), ["phase 1/2 map begins: 4 tasks"]);
        assert!(at(29, &first).is_empty());
        assert_eq!(at(31, &first), ["phase 1/2 map goes on: 1 of 4 tasks"]);
        assert!(at(32, &first).is_empty());
        let mut training = phase(1, Running, 0);
        training.progress = r#"{"step":20,"loss":3.21,"steps":100}"#.to_owned();
        let second = detail(Runs, vec![phase(0, Published, 4), training]);
        assert_eq!(
            at(33, &second),
            ["phase 1/2 map is done: 4 of 4 tasks", "phase 2/2 train begins: 4 tasks"]
        );
        let waits = detail(Runs, vec![phase(0, Published, 4), phase(1, Waiting, 0)]);
        assert!(at(34, &waits).is_empty());
        assert_eq!(at(62, &second), ["phase 2/2 train goes on: 20/100, loss 3.210"]);
        let failed = detail(Failed, vec![phase(0, Published, 4), phase(1, PhaseState::Failed, 0)]);
        assert_eq!(at(63, &failed), ["phase 2/2 train failed: 0 of 4 tasks"]);
        let quick = detail(Succeeded, vec![phase(0, Published, 4)]);
        assert!(Lines::new(begin).of(&quick, begin).is_empty(), "it had ended before");
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
