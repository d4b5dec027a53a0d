//! PEM private keys.
//!
//! From `-----BEGIN … PRIVATE KEY-----` to its end line, or over all that looks like its body where the end is missing.
//! Reference: RFC 7468. Public keys and certificates are left.

use std::ops::Range;

use super::Scan;

const BEGIN: &[u8] = b"-----BEGIN ";
const KEY: &[u8] = b"PRIVATE KEY";
const DASHES: &[u8] = b"-----";
/// A key without an end mark is taken over at most so many bytes.
const MOST_BODY: usize = 16 * 1024;

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    let bytes = scan.text.as_bytes();
    let mut after = 0;
    for start in memchr::memmem::find_iter(bytes, BEGIN) {
        if start < after {
            continue;
        }
        let label = start + BEGIN.len();
        let Some(length) = bytes[label..].iter().take(64).position(|&byte| byte == b'-') else { continue };
        let name = &bytes[label..label + length];
        let head = label + length + DASHES.len();
        let is_key = name.ends_with(KEY) || name.ends_with(b"PRIVATE KEY BLOCK");
        if !is_key || !bytes[label + length..].starts_with(DASHES) {
            continue;
        }
        // In source code the line ends of a key are often written `\n`.
        let is_body = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=\r\n\t :,-\\\"'".contains(*byte);
        let body = bytes[head..].iter().take(MOST_BODY).take_while(is_body).count();
        let end_mark = memchr::memmem::find(&bytes[head..head + body], b"-----END ");
        after = match end_mark {
            Some(end) => {
                let label = head + end + b"-----END ".len();
                let dashes = bytes[label..].iter().take(64).position(|&byte| byte == b'-');
                let line = label + dashes.unwrap_or(0);
                line + bytes[line..].iter().take(DASHES.len()).take_while(|&&byte| byte == b'-').count()
            }
            None => head + bytes[head..head + body].trim_ascii_end().len(),
        };
        spans.push(start..after);
    }
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    #[test]
    fn keys_go_whole_and_certificates_stay() {
        let key =
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nabc+/==\n-----END RSA PRIVATE KEY-----";
        assert_eq!(found_by(find, &format!("key:\n{key}\nend")), [key]);
        let cut = "-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7";
        assert_eq!(found_by(find, &format!("{cut}\n")), [cut]);
        assert!(found_by(find, "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----").is_empty());
        assert!(found_by(find, "-----BEGIN PRIVATE KEY").is_empty());
    }
}
