//! The score that separates the wanted fraction of all documents from the others.

use std::cmp::Reverse;

use orchestrator_core::TaskOutcome;
use orchestrator_job::{ExactF32, PartRef};
use orchestrator_text::Ranking;

use super::ranking;
use crate::context::TaskContext;
use crate::error::TaskError;
use crate::table::TableReader;

/// Finds the cutoff; it is the outcome's detail.
///
/// Scores are never negative, and so the bits of an `f32` rise with its value; their key rises from worse to better.
/// Counting by the upper half of the keys, then by the lower half within one bucket, finds the exact score in two passes
/// and a megabyte of memory.
pub(crate) fn run(context: &TaskContext, stage: u32, scores: &[PartRef]) -> Result<TaskOutcome, TaskError> {
    let ranking = ranking(context, stage)?;
    let mut upper = vec![0_u64; 1 << 16];
    let key = |bits| ranking.better.key(bits);
    for_each(context, scores, |bits| upper[(key(bits) >> 16) as usize] += 1)?;
    let documents: u64 = upper.iter().sum();
    let keep = (documents as f64 * ranking.fraction).round() as u64;
    let threshold = if keep == 0 {
        ranking.better.unreachable()
    } else {
        let (half, above) = bucket_from_above(&upper, keep);
        let mut lower = vec![0_u64; 1 << 16];
        for_each(context, scores, |bits| {
            if (key(bits) >> 16) as usize == half {
                lower[(key(bits) & 0xffff) as usize] += 1;
            }
        })?;
        let (rest, _) = bucket_from_above(&lower, keep - above);
        f32::from_bits(key((half as u32) << 16 | rest as u32))
    };
    let detail = serde_json::to_value(ExactF32::from(threshold))
        .map_err(|error| TaskError::configuration("scoring", error))?;
    Ok(TaskOutcome { detail, ..TaskOutcome::default() })
}

/// The same of scores that are in memory.
pub(crate) fn cut(mut scores: Vec<f32>, ranking: &Ranking) -> f32 {
    let keep = (scores.len() as f64 * ranking.fraction).round() as usize;
    scores.sort_unstable_by_key(|score| Reverse(ranking.better.key(score.to_bits())));
    let worst = keep.checked_sub(1).and_then(|last| scores.get(last).copied());
    worst.unwrap_or(ranking.better.unreachable())
}

/// The bucket in which the `keep`-th value from above lies, and how many lie in the buckets above it.
fn bucket_from_above(counts: &[u64], keep: u64) -> (usize, u64) {
    let mut above = 0;
    for (bucket, &count) in counts.iter().enumerate().rev() {
        if above + count >= keep {
            return (bucket, above);
        }
        above += count;
    }
    (0, above)
}

fn for_each(context: &TaskContext, scores: &[PartRef], mut take: impl FnMut(u32)) -> Result<(), TaskError> {
    for part in scores {
        for rows in TableReader::open(&context.job.output, &part.path, &["score_bits"])? {
            let rows = rows?;
            context.progress.check()?;
            context.progress.add(rows.len() as u64, 4 * rows.len() as u64);
            rows.numbers("score_bits")?.flatten().for_each(|bits| take(bits as u32));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use orchestrator_text::step::Better;

    use super::*;

    #[test]
    fn a_cut_in_memory_keeps_as_many() {
        let scores = vec![0.5, 0.25, 1.0, 0.25, 0.0];
        let ranking =
            |fraction, better| Ranking { fraction, rule: "x", column: "x", better, record: |_, _| {} };
        for (fraction, least, most) in
            [(0.2, 1.0, 0.0), (0.4, 0.5, 0.25), (0.6, 0.25, 0.25), (0.8, 0.25, 0.5), (1.0, 0.0, 1.0)]
        {
            for (better, expected) in [(Better::Higher, least), (Better::Lower, most)] {
                let found = cut(scores.clone(), &ranking(fraction, better));
                assert_eq!(found.to_bits(), f32::to_bits(expected), "{fraction} {better:?}");
            }
        }
        let none = |better| cut(Vec::new(), &ranking(1.0, better));
        assert!(none(Better::Higher) == f32::INFINITY && none(Better::Lower) == f32::NEG_INFINITY);
        assert!(cut(scores, &ranking(0.01, Better::Higher)).is_infinite());
    }

    #[test]
    fn the_bucket_is_found_from_above() {
        let counts = [5, 0, 3, 2];
        assert_eq!(bucket_from_above(&counts, 1), (3, 0));
        assert_eq!(bucket_from_above(&counts, 2), (3, 0));
        assert_eq!(bucket_from_above(&counts, 3), (2, 2));
        assert_eq!(bucket_from_above(&counts, 6), (0, 5));
        assert_eq!(bucket_from_above(&counts, 10), (0, 5));
    }
}
