//! The model as an ARPA file, which other tools read too.

use std::io::Write;

use super::TrainConfig;
use super::grams::{BEGIN, Grams, UNKNOWN};
use super::smooth::{Model, is_kept};

/// What the probability of `<s>` is written as.
const NEVER: f32 = -99.0;

/// Writes numbers in the shortest form that reads back as the same `f32`.
pub(super) fn arpa(words: &[Box<str>], orders: &[Grams], model: &Model, config: &TrainConfig) -> Vec<u8> {
    let mut out = Vec::new();
    let has_unknown = orders[0].find(&[UNKNOWN]).is_some();
    let put = |out: &mut Vec<u8>, text: std::fmt::Arguments<'_>| {
        out.write_fmt(text).expect("a vector takes any bytes");
    };
    put(&mut out, format_args!("\\data\\\n"));
    for grams in orders {
        let kept = (0..grams.len()).filter(|&index| is_kept(grams, index, config)).count();
        let kept = kept + usize::from(grams.order == 1 && !has_unknown);
        put(&mut out, format_args!("ngram {}={kept}\n", grams.order));
    }
    for (grams, smoothed) in orders.iter().zip(&model.orders) {
        put(&mut out, format_args!("\n\\{}-grams:\n", grams.order));
        if grams.order == 1 && !has_unknown {
            put(&mut out, format_args!("{}\t<unk>\t0\n", log10(model.unknown)));
        }
        for index in (0..grams.len()).filter(|&index| is_kept(grams, index, config)) {
            let gram = grams.get(index);
            let probability = if gram == [BEGIN] { NEVER } else { log10(smoothed.probabilities[index]) };
            put(&mut out, format_args!("{probability}\t"));
            for (place, &id) in gram.iter().enumerate() {
                put(&mut out, format_args!("{}{}", if place == 0 { "" } else { " " }, words[id as usize]));
            }
            if grams.order < orders.len() {
                put(&mut out, format_args!("\t{}", log10(smoothed.backoffs[index])));
            }
            put(&mut out, format_args!("\n"));
        }
    }
    put(&mut out, format_args!("\n\\end\\\n"));
    out
}

/// Nothing is impossible in a file of logarithms: a weight that vanished is written as one that nearly has.
fn log10(value: f64) -> f32 {
    if value > 0.0 { (libm::log10(value) as f32).min(0.0) } else { NEVER }
}
