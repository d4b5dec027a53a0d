//! What messages must not say.

/// Removes what may be secret from a message: user information and query strings of URLs (signatures travel there).
pub fn redact(message: &str) -> String {
    let mut clean = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(found) = rest.find("://") {
        let (before, after) = rest.split_at(found + 3);
        clean.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "\"'`<>)".contains(c)).unwrap_or(after.len());
        let (url, tail) = after.split_at(end);
        let (url, query) = url.split_once('?').map_or((url, false), |(url, _)| (url, true));
        let authority = url.find('/').unwrap_or(url.len());
        // The last `@` of the authority ends the user information; without a slash, of the whole.
        let host = url[..authority].rfind('@').map_or(0, |at| at + 1);
        if host > 0 {
            clean.push_str("***@");
        }
        clean.push_str(&url[host..]);
        if query {
            clean.push_str("?***");
        }
        rest = tail;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_never_survive_in_a_message() {
        let clean =
            redact("GET \"https://me:p@ss@host/bucket/x?X-Amz-Signature=abc&y=1\" failed for s3://AK:SK@b/c");
        assert_eq!(clean, "GET \"https://***@host/bucket/x?***\" failed for s3://***@b/c");
        assert_eq!(redact("nothing secret: a@b"), "nothing secret: a@b");
    }
}
