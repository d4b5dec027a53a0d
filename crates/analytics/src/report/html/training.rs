//! How training went.

use super::{Tile, tile};
use crate::report::chart::{LineChart, Series};
use crate::report::numbers::{count, short};
use crate::report::{NOT_VALIDATED, TrainingSummary};

pub(super) struct TrainingView {
    pub(super) figures: Vec<Tile>,
    pub(super) loss: Option<LineChart>,
    pub(super) speed: Option<LineChart>,
}

pub(super) fn training(training: &TrainingSummary) -> TrainingView {
    let mut figures = vec![tile("Steps", count(training.steps), String::new())];
    if let (Some(first), Some(last)) = (training.loss.first(), training.loss.last()) {
        figures.push(tile("Loss", format!("{:.3}", last.value), format!("from {:.3}", first.value)));
    }
    if let Some(best) = training.best_validation {
        figures.push(tile(
            "Best validation",
            format!("{:.3}", best.value),
            format!("at step {}", count(best.step)),
        ));
    } else {
        figures.push(tile("Validation", "not measured".to_owned(), NOT_VALIDATED.to_owned()));
    }
    if let Some(tokens) = training.tokens {
        figures.push(tile("Tokens seen", short(tokens), String::new()));
    }
    if let Some(speed) = training.median_tokens_per_second {
        figures.push(tile("Tokens a second", short(speed as u64), "median".to_owned()));
    }
    let loss = [
        Series { name: "training", class: "a", points: &training.loss, dots: false },
        Series { name: "validation", class: "b", points: &training.validation_loss, dots: true },
    ];
    let description = match (training.loss.first(), training.loss.last()) {
        (Some(first), Some(last)) => format!(
            "The training loss goes from {:.3} at step {} to {:.3} at step {}.",
            first.value, first.step, last.value, last.step
        ),
        _ => "The validation loss by step.".to_owned(),
    };
    let has_loss = !(training.loss.is_empty() && training.validation_loss.is_empty());
    let speed =
        [Series { name: "tokens a second", class: "a", points: &training.tokens_per_second, dots: false }];
    let speed_words = training.median_tokens_per_second;
    let speed_words =
        speed_words.map_or(String::new(), |median| format!("The median is {median:.0} tokens a second."));
    TrainingView {
        figures,
        loss: has_loss.then(|| LineChart::new("Loss by step", description, &loss, false)),
        speed: (!training.tokens_per_second.is_empty())
            .then(|| LineChart::new("Tokens a second by step", speed_words, &speed, true)),
    }
}
