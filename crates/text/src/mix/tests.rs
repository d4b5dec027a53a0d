use orchestrator_core::units::ByteSize;
use proptest::prelude::*;

use super::*;

fn group(name: &str) -> MixGroup {
    MixGroup { name: name.into(), sources: Some(vec![format!("{name}/**")]), ..MixGroup::default() }
}

fn config(groups: Vec<MixGroup>) -> MixConfig {
    MixConfig { groups, ..MixConfig::default() }
}

fn sizes(bytes: &[u64]) -> Vec<GroupSize> {
    bytes.iter().map(|&bytes| GroupSize { documents: bytes / 100, bytes }).collect()
}

fn epochs(config: &MixConfig, bytes: &[u64]) -> Vec<f64> {
    config.validate().expect("a valid mixture");
    Mixture::decide(config, 7, &sizes(bytes)).groups.iter().map(|group| group.epochs.value()).collect()
}

#[test]
fn weights_share_what_comes_in() {
    let mut config = config(vec![group("wiki"), group("web")]);
    config.groups[0].weight = Some(1.0);
    config.groups[1].weight = Some(1.0);
    // 1000 of wiki, 3000 of web and nothing else: 2000 of each.
    let found = epochs(&config, &[1000, 3000, 0]);
    assert!((found[0] - 2.0).abs() < 1e-6 && (found[1] - 2.0 / 3.0).abs() < 1e-6, "{found:?}");
    // What no group names is seen once and stands outside the shares.
    assert!((epochs(&config, &[1000, 3000, 500])[2] - 1.0).abs() < 1e-9);
}

#[test]
fn a_bounded_group_leaves_the_rest_to_the_others() {
    let mut config = config(vec![group("tiny"), group("web")]);
    config.groups[0].weight = Some(1.0);
    config.groups[1].weight = Some(1.0);
    config.total = Some(ByteSize(4000));
    let found = epochs(&config, &[100, 4000, 0]);
    assert!((found[0] - 4.0).abs() < 1e-6, "{found:?}");
    assert!((found[1] - 3600.0 / 4000.0).abs() < 1e-6, "{found:?}");
}

#[test]
fn temperature_flattens_sizes() {
    let flat = MixConfig { temperature: 100.0, ..config(vec![group("a"), group("b")]) };
    let plain = config(vec![group("a"), group("b")]);
    assert_eq!(epochs(&plain, &[1000, 9000, 0])[..2], [1.0, 1.0]);
    let found = epochs(&flat, &[1000, 9000, 0]);
    assert!(found[0] > 3.9 && found[1] < 0.8, "{found:?}");
}

#[test]
fn fixed_epochs_are_taken_first_and_an_empty_group_takes_none() {
    let mut config = config(vec![group("a"), group("b"), group("c")]);
    config.groups[0].epochs = Some(2.5);
    assert_eq!(epochs(&config, &[1000, 2000, 0, 0]), [2.5, 0.25, 0.0, 1.0]);
}

#[test]
fn the_first_group_that_takes_a_document_has_it() {
    let mut both = config(vec![group("a"), group("b")]);
    both.groups[0].languages = Some(vec!["en".into()]);
    both.groups[1].sources = Some(vec!["**".into()]);
    both.groups[1].languages = Some(vec!["de".into()]);
    let groups = Groups::new(&both).expect("valid globs");
    let of = |source: &str, language: &str| {
        groups.of(&Document { language: Some(language.into()), ..Document::new(source, 0, "x") })
    };
    assert_eq!([of("a/1.txt", "en"), of("a/1.txt", "de"), of("x/1.txt", "en")], [0, 1, 2]);
}

#[test]
fn half_an_epoch_draws_half_of_the_documents_by_id() {
    let mut half = config(vec![group("a")]);
    half.groups[0].epochs = Some(2.5);
    let mixture = Mixture::decide(&half, 1, &sizes(&[1000, 0]));
    let text = serde_json::to_string(&mixture).expect("plain data");
    let mixer = Mixer::new(&half, serde_json::from_str(&text).expect("its own text")).expect("groups");
    let copies: Vec<u64> =
        (0..10_000).map(|record| mixer.copies(&Document::new("a/x", record, ""))).collect();
    let total: u64 = copies.iter().sum();
    assert!(copies.iter().all(|copies| [2, 3].contains(copies)));
    assert!((24_700..25_300).contains(&total), "{total}");

    half.groups[0].epochs = Some(0.0);
    let none = Mixer::new(&half, Mixture::decide(&half, 1, &sizes(&[1000, 0]))).expect("groups");
    let decision = none.judge(&Document::new("a/x", 0, ""));
    assert_eq!(decision, Decision::drop("not_drawn", "group `a`, 0.000 epochs"));
}

#[test]
fn contradictions_name_their_key() {
    let key = |config: &MixConfig| config.validate().expect_err("a contradiction").key;
    assert_eq!(key(&MixConfig::default()), "groups");
    assert_eq!(key(&config(vec![group("a"), group("a")])), "groups[1].name");
    assert_eq!(key(&config(vec![group("others")])), "groups[0].name");
    assert_eq!(
        key(&config(vec![MixGroup { sources: Some(vec!["[".into()]), ..group("a") }])),
        "groups[0].sources[0]"
    );
    let weighted = MixGroup { weight: Some(1.0), ..group("a") };
    assert_eq!(key(&config(vec![MixGroup { epochs: Some(1.0), ..weighted.clone() }])), "groups[0].epochs");
    assert_eq!(key(&config(vec![weighted.clone(), group("b")])), "groups[1].weight");
    assert_eq!(key(&MixConfig { temperature: 2.0, ..config(vec![weighted.clone()]) }), "temperature");
    assert_eq!(key(&config(vec![MixGroup { weight: Some(-1.0), ..group("a") }])), "groups[0].weight");
    assert_eq!(key(&MixConfig { max_epochs: 0.0, ..config(vec![group("a")]) }), "max_epochs");
    let fixed = MixGroup { epochs: Some(1.0), ..group("a") };
    assert_eq!(key(&MixConfig { total: Some(ByteSize(9)), ..config(vec![fixed]) }), "total");
}

proptest! {
    #[test]
    fn the_total_is_met_unless_bounds_forbid_it(
        bytes in prop::collection::vec(1u64..1_000_000, 2..8),
        weights in prop::collection::vec(0.01f64..100.0, 8),
    ) {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let groups = (0..bytes.len()).map(|i| MixGroup { weight: Some(weights[i]), ..group(names[i]) }).collect();
        let config = config(groups);
        let found = Mixture::decide(&config, 1, &sizes(&[bytes.clone(), vec![0]].concat()));
        let incoming: f64 = bytes.iter().map(|&bytes| bytes as f64).sum();
        let mixed: f64 = found.groups.iter().map(|group| group.epochs.of(group.bytes)).sum();
        // The bound is 4 and all of it fits four times, so the total is always met, but for the rounding down.
        prop_assert!((mixed - incoming).abs() <= incoming * 1e-6, "{mixed} of {incoming}");
        for group in &found.groups[..bytes.len()] {
            prop_assert!(group.epochs.value() <= config.max_epochs);
        }
    }

    #[test]
    fn epochs_survive_json(steps in 0u64..(1 << 50)) {
        let before: Epochs = Epochs::new(steps as f64 / 4_294_967_296.0);
        let text = serde_json::to_string(&before).expect("plain data");
        prop_assert_eq!(serde_json::from_str::<Epochs>(&text).expect("its own text"), before);
    }
}
