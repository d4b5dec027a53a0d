//! Values of names that say that they are secret: passwords and keys of any shape. Looked for only where the job names
//! the kind, since what stands there in texts about programs is mostly made up.
//!
//! The names are detect-secrets' (`password`, `api_key`, `secret`, …), followed by `=`, `:`, `:=`, `=>` or a comparison.
//! A value in quotes is taken whole; one without quotes must have eight characters, letters and digits among them. What
//! only stands for a value (`${NAME}`, `<password>`, `{{ key }}`, `****`) is none.
//!
//! Example: `db_password = "correct horse"`.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::Scan;

static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(?:(?:api|auth|service|account|db|database|priv|private|client)_?key|(?:db|database|key)_?pass",
        r"|password|passwd|pwd|secret|contrase[ñn]a)[a-z0-9_]{0,32}",
        r#"["'\]]{0,2}[ \t]{0,5}(?::=|=>|!?={1,3}|:)[ \t]{0,5}"#,
        r#"(?:"(?<double>[^"\r\n]{1,255})"|'(?<single>[^'\r\n]{1,255})'|`(?<back>[^`\r\n]{1,255})`"#,
        r#"|(?<bare>[^\s"'`,;]{8,255}))"#,
    ))
    .expect("a constant pattern compiles")
});

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    for found in NAMED.captures_iter(scan.text) {
        let quoted = ["double", "single", "back"].into_iter().find_map(|quote| found.name(quote));
        let bare = found.name("bare").filter(|value| is_mixed(value.as_str()));
        if let Some(value) = quoted.or(bare).filter(|value| is_value(value.as_str())) {
            spans.push(value.range());
        }
    }
}

fn is_mixed(value: &str) -> bool {
    value.bytes().any(|byte| byte.is_ascii_digit()) && value.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn is_value(value: &str) -> bool {
    !value.starts_with(['<', '$', '{', '%', '*', ' ']) && value.chars().any(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    #[test]
    fn values_of_secret_names_are_found() {
        for (text, value) in [
            (r#"db_password = "correct horse""#, "correct horse"),
            ("API_KEY: 'abc'", "abc"),
            (r#"{"client_secret": "x1"}"#, "x1"),
            ("passwd := `p`", "p"),
            ("export SECRET_TOKEN=a1b2c3d4e5\n", "a1b2c3d4e5"),
            (r#"if (pwd == "hunter2")"#, "hunter2"),
            ("contraseña: 'clave'", "clave"),
        ] {
            assert_eq!(found_by(find, text), [value], "{text}");
        }
    }

    #[test]
    fn what_stands_for_a_value_stays() {
        for text in [
            "Password: must have eight characters",
            r#"password = "${PASSWORD}""#,
            r#"password = "<SECRET>""#,
            "secret: {{ key1 }}",
            r#"password = "********""#,
            "password = getpass()",
            "the secret of 12345678 stars",
        ] {
            assert_eq!(found_by(find, text), Vec::<String>::new(), "{text}");
        }
    }
}
