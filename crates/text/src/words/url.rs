//! Whether a chunk is one address on the Web, which stays one word whatever marks are in it.

use super::characters::is_lower;

/// Matches `[scheme://][user@]host[:port][/path]`, where the host is a domain name or a public IPv4 address.
pub(super) fn is_url(chunk: &str) -> bool {
    if !chunk.contains('.') {
        return false;
    }
    let is_scheme = |scheme: &str| {
        scheme.chars().count() >= 2
            && scheme.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '+' | '-' | '.'))
    };
    if let Some((scheme, rest)) = chunk.split_once("://")
        && is_scheme(scheme)
        && has_host(rest)
    {
        return true;
    }
    has_host(chunk)
}

/// Whether a host stands at the start, or after one of the first few `@`.
fn has_host(rest: &str) -> bool {
    starts_with_host(rest)
        || rest.match_indices('@').take(8).any(|(at, _)| at > 0 && starts_with_host(&rest[at + 1..]))
}

fn is_host_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '\u{a1}'..='\u{ffff}')
}

fn starts_with_host(rest: &str) -> bool {
    let end = rest.find(|c| !is_host_letter(c) && !matches!(c, '.' | '-' | '_')).unwrap_or(rest.len());
    let (host, mut tail) = rest.split_at(end);
    if !is_domain(host) && !is_public_address(host) {
        return false;
    }
    if let Some(port) = tail.strip_prefix(':') {
        let digits = port.bytes().take_while(u8::is_ascii_digit).count();
        if !(2..=5).contains(&digits) {
            return false;
        }
        tail = &port[digits..];
    }
    tail.is_empty() || tail.starts_with(['/', '?', '#'])
}

fn is_domain(host: &str) -> bool {
    let Some((labels, top)) = host.rsplit_once('.') else { return false };
    (2..=63).contains(&top.chars().count())
        && top.chars().all(is_lower)
        && labels.split('.').all(|label| {
            label.chars().count() <= 64
                && label.chars().next().is_some_and(is_host_letter)
                && label.chars().next_back().is_some_and(is_host_letter)
        })
}

/// Four numbers that could be a host of a public network: private ranges, 0, and 224 and above are none.
fn is_public_address(host: &str) -> bool {
    let mut parts = [0u8; 4];
    let mut count = 0;
    for part in host.split('.') {
        if count == 4 || part.is_empty() || part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return false;
        }
        let Ok(number) = part.parse() else { return false };
        parts[count] = number;
        count += 1;
    }
    let [a, b, _, d] = parts;
    count == 4
        && (1..=223).contains(&a)
        && (1..=254).contains(&d)
        && !matches!(a, 10 | 127)
        && (a, b) != (169, 254)
        && (a, b) != (192, 168)
        && !(a == 172 && (16..=31).contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_abbreviations() {
        for url in ["a.org", "http://x.example/a?b#c", "me@x.co", "8.8.8.8:80/x", "www.x-y.example:8080"] {
            assert!(is_url(url), "{url}");
        }
        for other in ["a.B", "e.g", "3.14", "10.0.0.1", "x.org:1", "http://", "a..b", "-x.org", ""] {
            assert!(!is_url(other), "{other}");
        }
    }
}
