//! Causal language modelling: every position predicts the token after it.

use super::Batch;
use crate::error::ModelError;
use crate::ops::Tokens;

/// Name in the table of objectives.
pub const NAME: &str = "causal_lm";

/// One token more than the inputs: the last target.
pub fn window(context: usize) -> usize {
    context + 1
}

/// Inputs are all tokens of a window but the last, targets all but the first.
pub fn batch(windows: &[u32], context: usize, vocabulary: usize) -> Result<Batch, ModelError> {
    let size = window(context);
    if windows.is_empty() || !windows.len().is_multiple_of(size) {
        return Err(ModelError::Shape { what: "windows", expected: size, found: windows.len() });
    }
    let part = |skip: usize| -> Vec<u32> {
        windows.chunks_exact(size).flat_map(|window| window[skip..skip + context].iter().copied()).collect()
    };
    let inputs = Tokens::new(&part(0), context, vocabulary)?;
    let targets = Tokens::new(&part(1), context, vocabulary)?;
    Ok(Batch { inputs, targets: targets.ids().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_inputs_one_later() {
        let batch = batch(&[1, 2, 3, 4, 5, 6], 2, 10).expect("two windows of three");
        assert_eq!(batch.inputs.ids(), [1, 2, 4, 5]);
        assert_eq!(*batch.targets, [2, 3, 5, 6]);
        assert!(super::batch(&[1, 2, 3, 4], 2, 10).is_err());
        assert!(super::batch(&[1, 2, 10], 2, 10).is_err());
    }
}
