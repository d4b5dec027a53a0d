//! Rules that no single type can say: values of a stage, and the order of stages.

use orchestrator_core::units::ByteSize;
use orchestrator_text::language::{is_code, short_code};

use super::Findings;
use super::tree::Segment;
use crate::spec::{Job, Portion, Stage};

const LONGEST_NAME: usize = 63;
const MOST_STAGES: usize = 100;
const MOST_ATTEMPTS: u32 = 100;
const LEAST_TARGET: ByteSize = ByteSize(1 << 10);
const MOST_TARGET: ByteSize = ByteSize(1 << 40);

/// Checks a job. `indices` are the places that its stages have in the file: fewer than the file's stages when some
/// could not be read, and then their order says nothing.
pub(super) fn check(job: &Job, indices: &[usize], findings: &mut Findings) {
    let all_read = findings.is_empty();
    check_keys(job, findings);
    for (stage, &index) in job.pipeline.iter().zip(indices) {
        for error in stage.problems() {
            findings.note_stage(index, stage.name(), &error.key, error.message);
        }
        check_languages(stage, index, findings);
    }
    if all_read {
        check_order(&job.pipeline, findings);
    }
}

fn key(name: &str) -> Vec<Segment> {
    vec![Segment::Key(name.to_owned())]
}

fn check_keys(job: &Job, findings: &mut Findings) {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let starts_well = job.name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts_well || job.name.len() > LONGEST_NAME || !job.name.chars().all(is_allowed) {
        let message = format!(
            "`{}` is no name: expected 1 to {LONGEST_NAME} letters, digits, `.`, `_` or `-`, a letter or digit first",
            job.name
        );
        findings.note(key("name"), message, None);
    }
    if job.output.is_empty() {
        findings.note(key("output"), "expected a path or URL, found an empty string".into(), None);
    }
    if !(1..=MOST_ATTEMPTS).contains(&job.max_attempts) {
        let message = format!("expected 1 to {MOST_ATTEMPTS}, found {}", job.max_attempts);
        findings.note(key("max_attempts"), message, None);
    }
    if !(LEAST_TARGET..=MOST_TARGET).contains(&job.target_bytes) {
        let message = format!("expected 1 KiB to 1 TiB, found {}", job.target_bytes);
        findings.note(key("target_bytes"), message, None);
    }
    if let Portion::Fraction(fraction) = job.max_malformed
        && !fraction.is_finite()
    {
        findings.note(key("max_malformed"), "expected a fraction or a count".into(), None);
    }
}

fn check_languages(stage: &Stage, index: usize, findings: &mut Findings) {
    let Some(Some(languages)) = stage.languages() else { return };
    if languages.is_empty() {
        let message = "is empty: expected at least one, or no such key".to_owned();
        findings.note_stage(index, stage.name(), "languages", message);
    }
    for (place, language) in languages.iter().enumerate() {
        if !is_code(language) {
            let message =
                format!("`{language}` is no language: expected an ISO 639 code such as `en` or `yue`");
            findings.note_stage(index, stage.name(), &format!("languages[{place}]"), message);
        } else if short_code(language) != language {
            let message = format!("`{language}` has a shorter code: expected `{}`", short_code(language));
            findings.note_stage(index, stage.name(), &format!("languages[{place}]"), message);
        }
    }
}

/// Where a stage may stand: no stage stands before one of a lower rank.
fn rank(stage: &Stage) -> u8 {
    match stage {
        Stage::Read(_) => 0,
        Stage::Clean(_)
        | Stage::Language(_)
        | Stage::Filter(_)
        | Stage::Quality(_)
        | Stage::Perplexity(_)
        | Stage::Decontaminate(_)
        | Stage::Dedup(_)
        | Stage::Pii(_) => 1,
        Stage::Mix(_) => 2,
        Stage::Tokenize(_) => 3,
        Stage::Train(_) => 4,
        Stage::Export(_) => 5,
    }
}

fn check_order(pipeline: &[Stage], findings: &mut Findings) {
    let at = |index: usize| vec![Segment::Key("pipeline".into()), Segment::Index(index)];
    if pipeline.len() > MOST_STAGES {
        let message = format!("expected at most {MOST_STAGES} stages, found {}", pipeline.len());
        findings.note(key("pipeline"), message, None);
        return;
    }
    match pipeline.first() {
        None => findings.note(key("pipeline"), "expected at least one stage, found none".into(), None),
        Some(Stage::Read(_)) => {}
        Some(first) => {
            let message = format!("the first stage is `{}`: expected `read`", first.name());
            findings.note(at(0), message, None);
        }
    }
    for (index, stage) in pipeline.iter().enumerate().skip(1) {
        let name = stage.name();
        let earlier = &pipeline[..index];
        if rank(stage) != 1 && earlier.iter().any(|other| other.name() == name) {
            let help =
                matches!(stage, Stage::Read(_)).then(|| "list all patterns in the `paths` of one".to_owned());
            findings.note(at(index), format!("a second `{name}`: expected at most one"), help);
            continue;
        }
        if let Some(other) = earlier.iter().find(|other| rank(other) > rank(stage)) {
            let message = format!("`{name}` stands after `{}`: expected it before", other.name());
            findings.note(at(index), message, None);
            continue;
        }
        let needed = match stage {
            Stage::Train(_) => "tokenize",
            Stage::Export(_) => "train",
            _ => continue,
        };
        if !earlier.iter().any(|other| other.name() == needed) {
            findings.note(at(index), format!("`{name}` needs a `{needed}` stage before it"), None);
        }
    }
}
