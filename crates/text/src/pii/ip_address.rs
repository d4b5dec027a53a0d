//! Public IPv4 and IPv6 addresses.
//!
//! Private, reserved, documentation and loopback addresses name no one and stay. So does what reads as a version:
//! four single digits (`1.2.3.4`, and with it `8.8.8.8` and `1.1.1.1`, which are no person's either), and four numbers
//! behind `v`, `version`, `release` or `build`. Reference: IANA's special-purpose registries; RFC 4291.
//!
//! Example: `from 52.84.150.39 at` has `52.84.150.39`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::Scan;

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    find_v4(scan, spans);
    find_v6(scan.text, spans);
}

fn find_v4(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    let bytes = scan.text.as_bytes();
    for four in scan.runs.windows(4) {
        let (start, end) = (four[0].start, four[3].end);
        let dotted =
            four.windows(2).all(|pair| pair[1].start == pair[0].end + 1 && bytes[pair[0].end] == b'.');
        if !dotted {
            continue;
        }
        let touches =
            |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        let longer = bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        let before = start.checked_sub(1).and_then(|at| bytes.get(at));
        if touches(before) || before == Some(&b'.') || touches(bytes.get(end)) || longer {
            continue;
        }
        // The standard parser refuses numbers above 255 and leading zeros.
        let Ok(address) = scan.text[start..end].parse::<Ipv4Addr>() else { continue };
        let is_version = address.octets().iter().all(|octet| *octet < 10) || follows_version(&bytes[..start]);
        if is_public_v4(address) && !is_version {
            spans.push(start..end);
        }
    }
}

fn follows_version(before: &[u8]) -> bool {
    let before = before.trim_ascii_end();
    let before =
        before.strip_suffix(b":").or_else(|| before.strip_suffix(b"=")).unwrap_or(before).trim_ascii_end();
    ["version", "ver.", "ver", "release", "build", " v", " v."].iter().any(|word| {
        before.len() >= word.len()
            && before[before.len() - word.len()..].eq_ignore_ascii_case(word.as_bytes())
    })
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || matches!(a, 0 | 224..)
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b)))
}

fn find_v6(text: &str, spans: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b':';
    let mut after = 0;
    for colon in memchr::memchr_iter(b':', bytes) {
        if colon < after {
            continue;
        }
        // No address has more than four digits before its first colon, nor more than 39 characters.
        let digits =
            bytes[after..colon].iter().rev().take(5).take_while(|byte| byte.is_ascii_hexdigit()).count();
        let start = colon - digits;
        let length = bytes[start..].iter().take(64).take_while(|byte| is_part(byte)).count();
        let end = start + length - usize::from(bytes[start..start + length].ends_with(b":"));
        after = start + length;
        let touches =
            |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
        let free = !touches(start.checked_sub(1).and_then(|at| bytes.get(at)))
            && !bytes.get(after).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        let Some(candidate) = text.get(start..end) else { continue };
        if free && candidate.parse::<Ipv6Addr>().is_ok_and(is_public_v6) {
            spans.push(start..end);
        }
    }
}

/// Global unicast, 2000::/3, without the documentation prefixes.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    first & 0xe000 == 0x2000 && (first, second) != (0x2001, 0x0db8) && first != 0x3fff
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    #[test]
    fn public_addresses_are_found() {
        let text = "52.84.150.39, (8.8.4.10) 2a00:1450:4001:81b::200e; [2606:4700::1111]:443";
        assert_eq!(
            found_by(find, text),
            ["52.84.150.39", "8.8.4.10", "2a00:1450:4001:81b::200e", "2606:4700::1111"]
        );
    }

    #[test]
    fn private_ones_versions_and_lookalikes_stay() {
        for text in [
            "10.0.0.1 192.168.1.77 172.16.0.12 127.0.0.1 169.254.10.10 192.0.2.55 0.0.0.0 255.255.255.255",
            "version 10.15.70.12, v12.30.40.50, build: 20.30.40.50",
            "1.2.3.4 1.2.3.4.5 52.84.150.390 52.84.150.039 52.84.150.39-beta x52.84.150.39",
            "12:30:45 std::abc fe80::1 ::1 2001:db8::1 a:b:c:d ::",
        ] {
            assert_eq!(found_by(find, text), Vec::<String>::new(), "{text}");
        }
    }
}
