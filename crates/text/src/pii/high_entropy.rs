//! Strings that look drawn at random: keys without prefix or name. Looked for only where the job names the kind.
//!
//! What stands in quotes or after `=`, at least 20 characters of base64 or 32 of hexadecimal, with digits and
//! letters, whose Shannon entropy is above 4.5 or 3.0 bits a character: detect-secrets' measure and bounds. Hashes, ids and
//! encoded data are found too, which is why nobody gets this unasked.
//!
//! Example: `key = "ToCynx5Se4e2PtoZxEhW7lUJcOX15c54"`.

use std::ops::Range;

use super::Scan;

/// Longer strings are data, not keys.
const MOST: usize = 256;

pub(super) fn find(scan: &Scan<'_>, spans: &mut Vec<Range<usize>>) {
    let bytes = scan.text.as_bytes();
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    let mut at = 0;
    while at < bytes.len() {
        let Some(found) = memchr::memchr3(b'"', b'\'', b'=', &bytes[at..]) else { break };
        let mut start = at + found + 1;
        start +=
            bytes[start..].iter().take(3).take_while(|&&byte| matches!(byte, b' ' | b'"' | b'\'')).count();
        let length = bytes[start..].iter().take(MOST + 1).take_while(|&&byte| is_key(byte)).count();
        let after = bytes.get(start + length);
        let ends = after
            .is_none_or(|&byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b',' | b';'));
        let string = &bytes[start..start + length];
        if ends && length <= MOST && is_random(string) {
            spans.push(start..start + length);
        }
        // A string is looked at once, whatever it holds.
        at = (start + length).max(at + found + 1);
    }
}

fn is_random(string: &[u8]) -> bool {
    let has = |is: fn(&u8) -> bool| string.iter().any(is);
    if !has(u8::is_ascii_digit) || !has(u8::is_ascii_alphabetic) {
        return false;
    }
    let is_hex = string.iter().all(u8::is_ascii_hexdigit);
    if is_hex {
        string.len() >= 32 && entropy(string) > 3.0
    } else {
        string.len() >= 20 && entropy(string) > 4.5
    }
}

/// Shannon's entropy in bits a byte, summed in the order of the bytes.
fn entropy(string: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for &byte in string {
        counts[usize::from(byte)] += 1;
    }
    let total = string.len() as f64;
    let shares = counts.iter().filter(|&&count| count > 0).map(|&count| f64::from(count) / total);
    -shares.map(|share| share * libm::log2(share)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::super::found_by;
    use super::*;

    #[test]
    fn random_strings_are_found_and_words_stay() {
        let key = "ToCynx5Se4e2PtoZxEhW7lUJcOX15c54";
        for text in [format!("key=\"{key}\""), format!("key = '{key}',"), format!("mimi={key}\n")] {
            assert_eq!(found_by(find, &text), [key], "{text}");
        }
        for text in [
            "x = \"thequickbrownfoxjumpsoverthelazydog\"",
            "id = '203db13e-70c7-462b-9a3d'",
            "x=0000000000000000000000000000000a",
            "a \"quoted sentence with 3 words\"",
            "===============================1a",
        ] {
            assert_eq!(found_by(find, text), Vec::<String>::new(), "{text}");
        }
    }
}
