//! Parts of an address, taken from its text without refusing any: what crawlers record is not always an URL.

use psl::Type;

/// An address without its scheme.
fn without_scheme(address: &str) -> &str {
    let address = address.trim();
    let rest = address.split_once("://").filter(|(scheme, _)| {
        !scheme.is_empty()
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    });
    rest.map_or_else(|| address.strip_prefix("//").unwrap_or(address), |(_, rest)| rest)
}

/// Where the host and its port end in an address without a scheme.
fn authority_end(rest: &str) -> usize {
    rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())
}

/// The host of an address in small letters, without user, port and final dot; empty where there is none.
pub(super) fn normal_host(address: &str) -> String {
    let rest = without_scheme(address);
    let authority = &rest[..authority_end(rest)];
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or(host),
    };
    let host = host.trim_matches('.').to_lowercase();
    // A list has `www.` before a domain now and then and means the domain.
    host.strip_prefix("www.").map(str::to_owned).filter(|rest| rest.contains('.')).unwrap_or(host)
}

/// An address as it is compared: host in small letters, no scheme, no `www.`, no fragment, no final `/`.
pub(super) fn normal(address: &str) -> String {
    let rest = without_scheme(address);
    let (authority, path) = rest.split_at(authority_end(rest));
    let path = path.split('#').next().unwrap_or_default().trim_end_matches('/');
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_lowercase();
    let authority = authority.strip_prefix("www.").unwrap_or(&authority);
    format!("{authority}{path}")
}

/// The ASCII letters, small, and digits of a text.
pub(super) fn letters(text: &str) -> String {
    text.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}

/// What somebody registered: the public suffix and the label before it. Suffixes of companies (`blogspot.com`) are none
/// here, as for datatrove. `None` for numeric addresses and unknown top-level domains.
pub(super) fn registered_domain(host: &str) -> Option<&str> {
    let mut suffix_at = 0;
    loop {
        let rest = &host[suffix_at..];
        let suffix = psl::suffix(rest.as_bytes()).filter(psl::Suffix::is_known)?;
        suffix_at += rest.len().checked_sub(suffix.as_bytes().len())?;
        if suffix.typ() != Some(Type::Private) {
            break;
        }
        suffix_at += host[suffix_at..].find('.')? + 1;
    }
    let before = host[..suffix_at].strip_suffix('.')?;
    Some(&host[before.rfind('.').map_or(0, |dot| dot + 1)..]).filter(|_| !before.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_and_addresses_are_made_alike() {
        for (address, host, whole) in [
            ("https://User@WWW.Example.COM.:443/A/?q=1#f", "example.com", "example.com.:443/A/?q=1"),
            ("example.com/x/", "example.com", "example.com/x"),
            ("//cdn.example.com", "cdn.example.com", "cdn.example.com"),
            ("http://[::1]:80/", "::1", "[::1]:80"),
            ("www.com", "www.com", "com"),
            ("", "", ""),
        ] {
            assert_eq!((normal_host(address).as_str(), normal(address).as_str()), (host, whole), "{address}");
        }
        assert_eq!(letters("A-b_1é"), "ab1");
    }

    #[test]
    fn registered_domains_ignore_suffixes_of_companies() {
        for (host, domain) in [
            ("a.b.example.com", Some("example.com")),
            ("example.co.uk", Some("example.co.uk")),
            ("co.uk", None),
            ("a.blogspot.com", Some("blogspot.com")),
            ("blogspot.com", Some("blogspot.com")),
            ("a.b.github.io", Some("github.io")),
            ("localhost", None),
            ("a.no-such-top", None),
            ("10.0.0.1", None),
            ("", None),
        ] {
            assert_eq!(registered_domain(host), domain, "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_them(text in "\\PC{0,40}|[a-z./:@?#\\[\\]-]{0,40}") {
            let host = normal_host(&text);
            if let Some(domain) = registered_domain(&host) {
                prop_assert!(host.ends_with(domain));
            }
            prop_assert!(!normal(&text).contains('#'));
            prop_assert!(letters(&text).bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
    }
}
