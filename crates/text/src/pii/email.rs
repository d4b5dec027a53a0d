//! E-mail addresses.
//!
//! A local part of at most 64 characters, `@`, and a domain whose last label is of letters. Reference: RFC 5321 without
//! quoted local parts and address literals. `git@host:path` and `user@2x.png` are none.
//!
//! Example: `Ann <ann@corp.example>` has `ann@corp.example`.

use std::ops::Range;

use super::Scan;

/// File endings that look like a top-level domain in names such as `logo@2x.png`.
const FILE_ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "gif", "svg", "webp"];

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    let bytes = scan.text.as_bytes();
    let mut previous_end = 0;
    for at in memchr::memchr_iter(b'@', bytes) {
        let is_local = |byte: &&u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(*byte);
        // At most 64 are looked at, so a hostile run of letters costs no more.
        let local = bytes[previous_end..at].iter().rev().take(65).take_while(is_local).count();
        let mut start = at - local;
        while start < at && !bytes[start].is_ascii_alphanumeric() && bytes[start] != b'_' {
            start += 1;
        }
        let domain = domain_length(&bytes[at + 1..]);
        if start == at || local > 64 || domain == 0 || bytes[at - 1] == b'.' {
            continue;
        }
        previous_end = at + 1 + domain;
        spans.push(start..previous_end);
    }
}

/// Bytes of the domain at the start of `bytes`, 0 where there is none.
fn domain_length(bytes: &[u8]) -> usize {
    let run =
        bytes.iter().take(254).take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-')).count();
    let Some(last) = bytes[..run].iter().rposition(u8::is_ascii_alphanumeric) else { return 0 };
    let domain = &bytes[..=last];
    let mut labels = domain.rsplit(|&byte| byte == b'.');
    let Some(top) = labels.next() else { return 0 };
    let mut count = 0;
    let sound = labels.inspect(|_| count += 1).all(|label| {
        !label.is_empty() && label.len() <= 63 && label.first() != Some(&b'-') && label.last() != Some(&b'-')
    });
    let is_top = (2..=63).contains(&top.len()) && top.iter().all(u8::is_ascii_alphabetic);
    let is_file = FILE_ENDINGS.iter().any(|ending| top.eq_ignore_ascii_case(ending.as_bytes()));
    if sound && count > 0 && is_top && !is_file { domain.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    #[test]
    fn addresses_are_found_and_lookalikes_left() {
        assert_eq!(found_by(find, "<a.b+c@x-y.example>, mailto:d@e.co."), ["a.b+c@x-y.example", "d@e.co"]);
        for text in
            ["@name", "a@b", "a@b.c", "logo@2x.png", "a@-b.org", "a.@b.org", "a@b..org", "@@@.@", "x@1.2.3.4"]
        {
            assert_eq!(found_by(find, text), Vec::<String>::new(), "{text}");
        }
        assert!(found_by(find, &format!("{}@b.org", "a".repeat(70))).is_empty());
    }
}
