//! Reading, scoring and training, against KenLM's own test files and against the laws of probability.

use proptest::prelude::*;

use super::*;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");

const SMALL: &str = "\\data\\\nngram 1=4\nngram 2=2\n\n\\1-grams:\n-1\t<unk>\n-99\t<s>\t-0.5\n-0.25\ta\t-0.125\n\
                     -0.75\t</s>\n\n\\2-grams:\n-0.5\t<s> a\n-0.0625\ta </s>\n\n\\end\\\n";

fn read(text: &str) -> Result<Model, ArpaError> {
    Model::read_arpa(text.as_bytes(), 1000)
}

fn score(model: &Model, text: &str) -> Score {
    model.score(text, Tokens::WhiteSpace, &mut Scratch::default())
}

#[test]
fn a_score_is_the_sum_of_the_longest_known_ngrams_and_back_offs() {
    let model = read(SMALL).expect("a model");
    let is = |text: &str, log10: f64, words: u64, unknown: u64| {
        let found = score(&model, text);
        assert!((found.log10 - log10).abs() < 1e-12, "{text}: {found:?}");
        assert_eq!((found.words, found.unknown), (words, unknown), "{text}");
    };
    // <s> a, a </s>
    is("a", -0.5625, 2, 0);
    // <s> a; a backs off to a; a </s>
    is("a a", -0.5 - 0.125 - 0.25 - 0.0625, 3, 0);
    // <s> backs off to <unk>, which has no back-off of its own
    is("b", -0.5 - 1.0 - 0.75, 2, 1);
    // Each line is a sentence, and a text cannot end its own.
    is("a\n\na", 2.0 * -0.5625, 4, 0);
    is("</s>", -0.5 - 1.0 - 0.75, 2, 1);
    assert_eq!(score(&model, " \n\n "), Score::default());
    assert!((score(&model, "a").perplexity().expect("words") - 10.0_f64.powf(0.28125)).abs() < 1e-12);
}

#[test]
fn faults_name_their_line() {
    let fault = |from: &str, to: &str| read(&SMALL.replacen(from, to, 1)).expect_err(to).to_string();
    assert_eq!(
        fault("-0.25\ta", "0.25\ta"),
        "line 8: `0.25	a	-0.125`: expected a logarithm of a probability, at most 0"
    );
    assert!(fault("<s> a", "<s> b").starts_with("line 12: `-0.5	<s> b`: expected words that are 1-grams"));
    assert!(fault("a\t-0.125", "a\t-0.125 x").contains("a back-off weight and no more"));
    assert!(fault("2=2", "2=3").contains("line 15"));
    assert!(fault("2=2", "3=2").contains("orders 1, 2"));
    assert!(fault("2=2", "2=999").contains("at most 1000"));
    assert!(fault("\\2-grams:", "\\3-grams:").contains("expected `\\2-grams:`"));
    assert!(fault("a </s>", "<s> a").contains("each n-gram once"));
    assert!(fault("\\end\\", "").contains("ends after line"));
    assert_eq!(read("mmap lm http://kheafield.com/code").err(), Some(ArpaError::Binary));
    assert!(read("").is_err() && read("\\data\\\n\\1-grams:\n\\end\\").is_err());
}

/// Scores of KenLM's Python module 0.3.0 for its own test files.
#[test]
fn kenlms_files_score_as_kenlm_scores_them() {
    let cases: &[(&str, &str, f64)] = &[
        ("test", "looking on a little more loin", KENLM[0]),
        ("test", "also would consider higher looking", KENLM[1]),
        ("test", "screening a little unheard of more .", KENLM[2]),
        ("test", "<unk> however bar foo bar baz", KENLM[3]),
        ("toy0", "a a b a b", KENLM[4]),
        ("toy0", "b b c a", KENLM[5]),
    ];
    for (file, text, expected) in cases {
        let Ok(bytes) = std::fs::read(format!("{DATA}/kenlm/{file}.arpa")) else {
            println!("skipped: ../shared is absent");
            return;
        };
        let model = Model::read_arpa(&bytes, 1000).expect("KenLM's file");
        let found = score(&model, text).log10;
        assert!((found - expected).abs() < 1e-5, "{file}: {text}: {found} for {expected}");
    }
}

const KENLM: [f64; 6] = [-1.567_985, -17.609_459, -43.854_649, -21.136_900, -2.312_207, -3.850_281];

fn trained(texts: &[&str], config: &TrainConfig) -> Model {
    let bytes = train(texts, config).expect("texts with words");
    assert_eq!(train(texts, config).as_ref(), Ok(&bytes));
    Model::read_arpa(&bytes, 1_000_000).expect("our own file")
}

#[test]
fn training_refuses_what_it_cannot_count() {
    let config = TrainConfig::default();
    assert_eq!(train(&["", " \n"], &config), Err(TrainError::NoWords));
    let few = TrainConfig { max_ngrams: 5, ..config };
    assert_eq!(train(&["a b c d e"], &few), Err(TrainError::TooManyNgrams { most: 5 }));
    assert!(train(&["a"], &TrainConfig { order: 0, ..config }).is_err());
}

/// Bigram Kneser-Ney by hand, of "a b", "a b", "a c". No word was seen three times, so that the unigrams' discounts are
/// 0.5, 1 and 1.5; of the bigrams two were seen once, two twice, one three times.
#[test]
fn kneser_ney_is_what_the_definition_says() {
    let model = trained(&["a b\na b\na c"], &TrainConfig { order: 2, ..TrainConfig::default() });
    let id = |word: &str| model.words[word];
    // Unigrams count different words before them: a 1, b 1, c 1, </s> 2, of 5; 0.5 goes off one, 1 off two; of five
    // words (<unk> too) each gets a fifth of what is left.
    let left = (3.0 * 0.5 + 1.0) / 5.0;
    let unigram = |count: f64, discount: f64| (count - discount) / 5.0 + left / 5.0;
    let close = |found: f32, expected: f64| {
        assert!((f64::from(found) - expected.log10()).abs() < 1e-6, "{found} for {}", expected.log10());
    };
    close(model.unigrams[id("b") as usize].probability, unigram(1.0, 0.5));
    close(model.unigrams[id("</s>") as usize].probability, unigram(2.0, 1.0));
    close(model.unigrams[id("<unk>") as usize].probability, left / 5.0);
    // After a: b twice, c once, of three.
    let share = 2.0 / (2.0 + 2.0 * 2.0);
    let (once, twice) = (1.0 - 2.0 * share * 2.0 / 2.0, 2.0 - 3.0 * share * 1.0 / 2.0);
    let left_after_a = (once + twice) / 3.0;
    close(model.unigrams[id("a") as usize].backoff, left_after_a);
    close(
        model.step(Some(id("b")), &mut vec![id("a")]),
        (2.0 - twice) / 3.0 + left_after_a * unigram(1.0, 0.5),
    );
    close(model.step(Some(id("a")), &mut vec![id("a")]), left_after_a * unigram(1.0, 0.5));
}

#[test]
fn laplace_is_what_the_definition_says() {
    let config =
        TrainConfig { order: 2, smoothing: Smoothing::Laplace, pseudo_count: 2.0, ..TrainConfig::default() };
    let model = trained(&["a b\na b"], &config);
    let id = |word: &str| model.words[word];
    // Six words are predicted: a, b, </s> twice each; a pseudo-count of 2 is shared by four words.
    let unigram = (2.0 + 2.0 / 4.0) / 8.0_f64;
    let bigram = (2.0 + 2.0 * unigram) / 4.0;
    assert!((f64::from(model.unigrams[id("b") as usize].probability) - unigram.log10()).abs() < 1e-6);
    assert!((f64::from(model.step(Some(id("b")), &mut vec![id("a")])) - bigram.log10()).abs() < 1e-6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After any context the probabilities of all words add up to one.
    #[test]
    fn trained_models_are_distributions(
        text in "([abcd]( [abcd]){0,6}\n){1,12}",
        order in 1u32..=4,
        min_count in 1u32..=3,
        min_word_count in 1u32..=2,
        laplace in any::<bool>(),
        context in proptest::collection::vec(0usize..6, 0..4),
    ) {
        let smoothing = if laplace { Smoothing::Laplace } else { Smoothing::ModifiedKneserNey };
        let config = TrainConfig { order, smoothing, min_word_count, min_count, ..TrainConfig::default() };
        let model = trained(&[&text], &config);
        let words = ["<unk>", "<s>", "a", "b", "c", "d"];
        let mut before: Vec<u32> = context.iter().filter_map(|&at| model.words.get(words[at]).copied()).collect();
        before.truncate(order as usize - 1);
        let sum: f64 = (0..model.unigrams.len() as u32)
            .filter(|&word| Some(word) != model.begin)
            .map(|word| 10.0_f64.powf(f64::from(model.step(Some(word), &mut before.clone()))))
            .sum();
        prop_assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    }

    #[test]
    fn damaged_files_never_panic(at in 0usize..200, byte in any::<u8>(), cut in 0usize..200) {
        let mut bytes = SMALL.as_bytes().to_vec();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(length - cut % length);
        if let Ok(model) = Model::read_arpa(&bytes, 1000) {
            score(&model, "a b <unk>\na");
        }
    }
}

#[test]
fn a_header_that_promises_more_than_there_is_takes_no_memory() {
    let file = |counts: &[u64]| {
        let lines = (1..).zip(counts).map(|(order, count)| format!("ngram {order}={count}\n"));
        let header = lines.collect::<Vec<_>>().concat();
        format!("\\data\\\n{header}\n\\1-grams:\n-1.0\ta\t-0.5\n-1.0\tb\n").into_bytes()
    };
    let most = u64::from(u32::MAX);
    for (counts, bound, found) in [
        (&[1_000_000_000_000][..], 50_000_000, 1_000_000_000_000),
        (&[1_000_000_000_000], u64::MAX, 1_000_000_000_000),
        (&[2, 1_000_000_000_000], u64::MAX, 1_000_000_000_002),
        (&[u64::MAX, u64::MAX], u64::MAX, u64::MAX),
    ] {
        let error = Model::read_arpa(&file(counts), bound).expect_err("too many");
        assert_eq!(error, ArpaError::TooMany { found, most: bound.min(most) });
    }
    // What the bound allows is not believed either: the file ends.
    for counts in [&[4_000_000_000][..], &[2, 4_000_000_000]] {
        let error = Model::read_arpa(&file(counts), u64::MAX).expect_err("the file is short");
        assert!(matches!(error, ArpaError::Ends { .. }), "{error}");
    }
    let header = "\\data\\\nngram 1=99999999999999999999999\n";
    let error = Model::read_arpa(header.as_bytes(), u64::MAX).expect_err("no count");
    assert!(error.to_string().contains("expected a count"), "{error}");
}
