//! A second look at encodings of Latin letters, which the detector takes for one another.
//!
//! The detector (chardetng, as in Firefox) knows how often letters of a language follow each other. It does not know
//! ISO-8859-3 and -10 at all, and of a language that it has no figures for it takes what looks least odd: a text in
//! Spanish spelling from the Amazon becomes Polish. Two rules mend what can be told from the bytes; both compare how the
//! same bytes read in two encodings.
//!
//! ```text
//! guess is Latin ─▶ all letters of an alphabet that only one encoding has? ─▶ that encoding
//!               └─▶ what the guess has and windows-1252 has not: signs read as letters in odd places, or too few letters
//!                   for a language that needs them? ─▶ windows-1252
//! ```

use encoding_rs::{
    Encoding, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_10, ISO_8859_13, WINDOWS_1250, WINDOWS_1252,
    WINDOWS_1257,
};

/// Guesses of which windows-1252 is what was meant now and then.
const OTHERS: [&Encoding; 5] = [WINDOWS_1250, ISO_8859_2, WINDOWS_1257, ISO_8859_4, ISO_8859_13];
/// Letters that a text must have before few of one kind mean anything.
const LONG: u64 = 2_000;
/// In a text so long a language has at least this share of the letters for which it needs another encoding, in thousandths:
/// of the UDHR's languages Hungarian has the least, 9 (ő and ű).
const NEEDED_PER_MILLE: u64 = 3;
/// Signs read as letters in odd places that no text of the guess has.
const ODD: u64 = 3;

/// An alphabet that only one encoding has whole, in lower case.
struct Alphabet {
    encoding: &'static Encoding,
    /// Every letter beyond ASCII that its texts have, those of names with it.
    letters: &'static str,
    /// Those that a text of some length always has.
    required: &'static str,
}

/// The table of alphabets.
static ALPHABETS: [Alphabet; 2] = [
    // Esperanto.
    Alphabet { encoding: ISO_8859_3, letters: "ĉĝĥĵŝŭ", required: "ĉĝŝŭ" },
    // Northern Sámi.
    Alphabet { encoding: ISO_8859_10, letters: "áčđŋšŧžðåäöæø", required: "áčđŋš" },
];

/// The 128 characters beyond ASCII of an encoding of single bytes; U+FFFD where it has none.
fn upper_half(encoding: &'static Encoding) -> [char; 128] {
    let mut half = ['\u{fffd}'; 128];
    for (byte, character) in (0x80..=0xffu8).zip(&mut half) {
        let (text, _) = encoding.decode_without_bom_handling(std::slice::from_ref(&byte));
        *character = text.chars().next().unwrap_or('\u{fffd}');
    }
    half
}

/// The encoding that bytes are in of which the detector says `guess`.
pub(super) fn second_look(guess: &'static Encoding, bytes: &[u8]) -> &'static Encoding {
    if guess != WINDOWS_1252 && !OTHERS.contains(&guess) {
        return guess;
    }
    let mut counts = [0u64; 256];
    for &byte in bytes {
        counts[usize::from(byte)] += 1;
    }
    if let Some(alphabet) = ALPHABETS.iter().find(|alphabet| alphabet.is_that_of(&counts)) {
        return alphabet.encoding;
    }
    if guess != WINDOWS_1252 && is_western(guess, bytes, &counts) { WINDOWS_1252 } else { guess }
}

impl Alphabet {
    /// Whether bytes, read in its encoding, have its letters and no others beyond ASCII.
    fn is_that_of(&self, counts: &[u64; 256]) -> bool {
        let half = upper_half(self.encoding);
        let mut seen = String::new();
        for (character, &count) in half.iter().zip(&counts[128..]) {
            if count == 0 {
                continue;
            }
            for lower in character.to_lowercase().filter(|lower| lower.is_alphabetic()) {
                if !self.letters.contains(lower) {
                    return false;
                }
                seen.push(lower);
            }
            // A control character or none at all stands in no text.
            if character.is_control() || *character == '\u{fffd}' {
                return false;
            }
        }
        self.required.chars().all(|letter| seen.contains(letter))
    }
}

/// Whether what windows-1252 reads is likelier than what `guess` reads.
fn is_western(guess: &'static Encoding, bytes: &[u8], counts: &[u64; 256]) -> bool {
    let (here, there) = (upper_half(guess), upper_half(WINDOWS_1252));
    let differ = |byte: u8| {
        let at = usize::from(byte & 0x7f);
        byte >= 0x80 && here[at] != there[at]
    };
    let is_letter = |character: char| character.is_alphabetic() && !matches!(character, 'ª' | 'º');
    let ascii: u64 = (0u8..128).filter(u8::is_ascii_alphabetic).map(|byte| counts[usize::from(byte)]).sum();
    let letters = |kind: &dyn Fn(u8) -> bool| -> u64 {
        let upper =
            (0x80..=0xff).filter(|&byte: &u8| is_letter(here[usize::from(byte & 0x7f)]) && kind(byte));
        upper.map(|byte| counts[usize::from(byte)]).sum()
    };
    let (all, needed) = (ascii + letters(&|_| true), letters(&differ));
    if all >= LONG && needed * 1000 < all * NEEDED_PER_MILLE {
        return true;
    }
    // `1º` read as `1ş`, `¿Qué` as `żQué`.
    let is_sign_read_as_letter = |byte: u8| {
        let at = usize::from(byte & 0x7f);
        byte >= 0x80 && is_letter(here[at]) && !is_letter(there[at])
    };
    let read = |byte: u8| if byte < 0x80 { char::from(byte) } else { here[usize::from(byte & 0x7f)] };
    let odd = bytes.windows(2).filter(|pair| match **pair {
        [first, second] if is_sign_read_as_letter(second) => first.is_ascii_digit(),
        [first, second] if is_sign_read_as_letter(first) => {
            read(first).is_lowercase() && read(second).is_uppercase()
        }
        _ => false,
    });
    odd.take(ODD as usize).count() as u64 == ODD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(encoding: &'static Encoding, text: &str) -> Vec<u8> {
        let (bytes, used, unmappable) = encoding.encode(text);
        assert!(used == encoding && !unmappable, "{text}");
        bytes.into_owned()
    }

    #[test]
    fn alphabets_that_only_one_encoding_has_are_recognised() {
        let esperanto = "Ĉiuj homoj estas denaske liberaj kaj egalaj laŭ digno. Ĝi ŝanĝiĝas.";
        let bytes = encoded(ISO_8859_3, esperanto);
        assert_eq!(second_look(ISO_8859_2, &bytes), ISO_8859_3);
        let danish = encoded(
            WINDOWS_1252,
            "Alle mennesker er født frie og lige i værdighed og rettigheder. Så må de.",
        );
        assert_eq!(second_look(WINDOWS_1252, &danish), WINDOWS_1252);
        let czech =
            encoded(ISO_8859_2, "Všichni lidé se rodí svobodní a sobě rovní co do důstojnosti. Šáčž.");
        assert_eq!(second_look(ISO_8859_2, &czech), ISO_8859_2);
    }

    #[test]
    fn signs_are_not_taken_for_letters() {
        let numbered = encoded(WINDOWS_1252, "Artigo 1º, Artigo 2º e Artigo 3º");
        assert_eq!(second_look(WINDOWS_1250, &numbered), WINDOWS_1252);
        let asked = encoded(WINDOWS_1252, "¿Jawen? ¿Wetsa? ¿Nokon?");
        assert_eq!(second_look(ISO_8859_2, &asked), WINDOWS_1252);
        let polish = encoded(WINDOWS_1250, "Żółta łódź, żaba i 1 więcej. żŻ żŻ");
        assert_eq!(second_look(WINDOWS_1250, &polish), WINDOWS_1250, "one odd word, or two, may be");
    }

    #[test]
    fn a_language_that_needs_an_encoding_shows_its_letters() {
        let welsh = "Mae'r iaith hon yn cael ei siarad gan lawer o bobl. ".repeat(60) + "tân, tôn a môr";
        assert_eq!(second_look(WINDOWS_1257, &encoded(WINDOWS_1252, &welsh)), WINDOWS_1252);
        let short = encoded(WINDOWS_1257, "Rīga");
        assert_eq!(second_look(WINDOWS_1257, &short), WINDOWS_1257, "too short to tell");
        let slovene = "Vsi ljudje se rodijo svobodni in imajo enako čast. ".repeat(60);
        assert_eq!(second_look(WINDOWS_1250, &encoded(WINDOWS_1250, &slovene)), WINDOWS_1250);
        for other in [encoding_rs::WINDOWS_1251, encoding_rs::SHIFT_JIS] {
            assert_eq!(second_look(other, &encoded(WINDOWS_1252, &welsh)), other, "no Latin letters");
        }
    }
}
