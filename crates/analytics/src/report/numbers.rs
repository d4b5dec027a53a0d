//! Numbers as people read them.

pub(super) use orchestrator_core::units::count;

/// A large number in three digits: `12.3 M`.
pub(super) fn short(value: u64) -> String {
    for (unit, suffix) in [(1e12, "T"), (1e9, "G"), (1e6, "M")] {
        let scaled = value as f64 / unit;
        if scaled >= 1.0 {
            let digits = usize::from(scaled < 10.0) + usize::from(scaled < 100.0);
            return format!("{scaled:.digits$} {suffix}");
        }
    }
    count(value)
}

/// A power of two as people write sizes: `4 Ki`.
pub(super) fn binary(value: u64) -> String {
    match value {
        0..0x400 => value.to_string(),
        0x400..0x10_0000 => format!("{} Ki", value >> 10),
        0x10_0000..0x4000_0000 => format!("{} Mi", value >> 20),
        _ => format!("{} Gi", value >> 30),
    }
}

pub(super) fn share(value: u64, of: u64, what: &str) -> String {
    if of == 0 { String::new() } else { format!("{} {what}", percent(value, of)) }
}

/// A share in percent. It is never shown as 0 or 100 where it is not quite.
pub(super) fn percent(value: u64, of: u64) -> String {
    if of == 0 {
        return "–".to_owned();
    }
    let share = value as f64 / of as f64 * 100.0;
    match value {
        0 => "0%".to_owned(),
        _ if value == of => "100%".to_owned(),
        _ if share < 0.1 => "<0.1%".to_owned(),
        _ if share > 99.9 => ">99.9%".to_owned(),
        _ => format!("{share:.1}%"),
    }
}

/// The width of a bar in percent, for a style attribute.
pub(super) fn width(value: u64, largest: u64) -> String {
    format!("{:.2}", value as f64 / largest.max(1) as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [999_999, 1_000_000, 12_345_678, 2_500_000_000].map(short),
            ["999,999", "1.00 M", "12.3 M", "2.50 G"]
        );
        assert_eq!([512, 1024, 4096, 1 << 20].map(binary), ["512", "1 Ki", "4 Ki", "1 Mi"]);
    }

    #[test]
    fn a_share_never_claims_all_or_nothing_falsely() {
        assert_eq!(percent(1, 100_000), "<0.1%");
        assert_eq!(percent(99_999, 100_000), ">99.9%");
        assert_eq!((percent(0, 9), percent(9, 9), percent(0, 0)), ("0%".into(), "100%".into(), "–".into()));
    }
}
