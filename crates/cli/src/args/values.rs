//! Values of options that are more than a number in a range.

/// At the median pace itself half of all tasks would be slow.
pub(super) fn straggler_percent(text: &str) -> Result<u64, String> {
    let percent = text.parse().ok().filter(|percent| *percent == 0 || (110..=100_000).contains(percent));
    percent.ok_or_else(|| "expected 0, or a number from 110 to 100000".to_owned())
}

/// A share of all records.
pub(super) fn fraction(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| *value > 0.0 && *value <= 1.0);
    value.ok_or_else(|| format!("`{text}` is no fraction: expected more than 0, up to 1"))
}

/// So much a second: more than 0.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| *value > 0.0 && value.is_finite());
    value.ok_or_else(|| format!("`{text}` is no rate: expected more than 0"))
}

/// `KEY=VALUE`; a value that is no JSON is a text.
pub(super) fn assignment(text: &str) -> Result<(String, serde_json::Value), String> {
    let (key, value) =
        text.split_once('=').ok_or_else(|| format!("`{text}` sets nothing: expected `STAGE.KEY=VALUE`"))?;
    let value = value.trim();
    let value = serde_json::from_str(value).unwrap_or_else(|_| serde_json::Value::from(value));
    Ok((key.trim().to_owned(), value))
}

/// How freely a model samples: 0 is greedy.
pub(super) fn temperature(text: &str) -> Result<f32, String> {
    let expected = || format!("`{text}` is no temperature: expected 0 (greedy) or a number above");
    text.parse().ok().filter(|value: &f32| value.is_finite() && *value >= 0.0).ok_or_else(expected)
}
