//! Chunks whose words no rule gives: contractions, times, abbreviations, faces.
//!
//! The published list has 1,347 entries, but most are a stem with an ending, so the list here is stems and endings.
//! Every entry with an apostrophe also stands with a typographic one.

use std::sync::LazyLock;

/// A stem, plain and with a capital, before each ending; `+` parts the words of an ending.
const CONTRACTIONS: &[(&str, &str)] = &[
    ("i", "'m m 'm+a m+a"),
    ("i you he she it we they", "'ll ll 'll+'ve ll+ve 'd d 'd+'ve d+ve"),
    ("i you we they", "'ve ve"),
    ("you we they", "'re re"),
    ("he she it", "'s s"),
    ("who what when where why how there that this these those", "'ll ll 'll+'ve ll+ve 'd d 'd+'ve d+ve"),
    ("who what when where why how there that this", "'s s"),
    ("who what when where why how there these those", "'re re 've ve"),
    ("ca could do does did had may might must need ought sha should wo would", "n't nt n't+'ve nt+ve"),
    ("could might must should would", "'ve ve"),
    ("ai are is was were have has dare", "n't nt"),
    ("not", "'ve ve"),
    ("can", "not"),
    ("gon", "na"),
    ("got", "ta"),
    ("let", "'s"),
    ("c'm", "on"),
    ("how", "'d+'y"),
];

/// Contractions that are words of their own.
const NOT_CONTRACTIONS: &[&str] = &[
    "Ill", "ill", "Its", "its", "Hell", "hell", "Shell", "shell", "Shed", "shed", "were", "Were", "Well",
    "well", "Whore", "whore",
];

/// Words that keep an apostrophe or drop a final g, plain and with a capital, without and with the apostrophe.
const DROPPED_G: &str = "doin goin nothin nuthin ol somethin lovin havin";

/// Chunks that stay whole.
const WHOLE: &str = "em 'em ll 'll nuff 'nuff 'S 's ‘S ‘s and/or w/o 're 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz \
    'Cuz 'bout ma'am Ma'am o'clock O'clock 'd ' '' \\\") <space> C++ \\t \\n — ä. ö. ü. \
    Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan. Jul. Jun. \
    Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. Okla. \
    Ore. Pa. S.C. Sep. Sept. Tenn. Va. Wash. Wis. a.m. Adm. Bros. co. Co. Corp. D.C. Dr. e.g. E.g. E.G. Gen. Gov. \
    i.e. I.e. I.E. Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. p.m. Ph.D. Prof. Rep. Rev. Sen. St. vs. v.s.";

/// Faces made of marks.
const FACES: &str = r":) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-)
    (; (-; :( :-( :(( :-(( :((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :P :-P :p :-p :O
    :-O :o :-o :0 :-0 :() >:o :* :-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^ ^__^
    ^___^ >.< >.> <.< ._. ;_; -_- -__- v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@
    <3 <33 <333 </3 (^_^) (-_-) (._.) (>_<) (*_*) (¬_¬) ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) ¯\(ツ)/¯ ><(((*>";

/// The longest entry that the table holds, in bytes.
const LONGEST: usize = 16;
/// Slots of the table: a power of two, five per entry, so that a miss is nearly always its first look.
const SLOTS: usize = 8192;

/// Byte lengths of the words of one exception; unused places are 0.
type Lengths = [u8; 4];

struct Table {
    /// One bit per slot that is taken: 1 KiB, so that the many misses stay in the first cache.
    taken: Box<[u64; SLOTS / 64]>,
    slots: Vec<(u128, Lengths)>,
}

/// The bytes of a short chunk in one number. No chunk holds a NUL that matters: no exception does.
#[inline]
fn pack(chunk: &[u8]) -> u128 {
    let mut bytes = [0; LONGEST];
    bytes[..chunk.len()].copy_from_slice(chunk);
    u128::from_le_bytes(bytes)
}

#[inline]
fn slot(key: u128) -> usize {
    let folded = (key as u64) ^ ((key >> 64) as u64).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51) as usize
}

impl Table {
    fn insert(&mut self, words: &[&str]) {
        let chunk = words.concat();
        if chunk.len() > LONGEST {
            return;
        }
        let mut lengths = Lengths::default();
        for (length, word) in lengths.iter_mut().zip(words) {
            *length = word.len() as u8;
        }
        let key = pack(chunk.as_bytes());
        let mut at = slot(key);
        while self.slots[at].1 != Lengths::default() && self.slots[at].0 != key {
            at = (at + 1) % SLOTS;
        }
        self.slots[at] = (key, lengths);
        self.taken[at / 64] |= 1 << (at % 64);
    }

    /// Inserts words as they stand and, where they have an apostrophe, with the typographic one.
    fn insert_both(&mut self, words: &[&str]) {
        self.insert(words);
        if words.iter().any(|word| word.contains('\'')) {
            let words: Vec<String> = words.iter().map(|word| word.replace('\'', "’")).collect();
            self.insert(&words.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

fn capital(word: &str) -> String {
    word[..1].to_ascii_uppercase() + &word[1..]
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table { taken: Box::new([0; SLOTS / 64]), slots: vec![(0, Lengths::default()); SLOTS] };
    for (stems, endings) in CONTRACTIONS {
        for stem in stems.split(' ') {
            for stem in [stem.to_owned(), capital(stem)] {
                for ending in endings.split(' ') {
                    let words: Vec<&str> = std::iter::once(stem.as_str()).chain(ending.split('+')).collect();
                    if !NOT_CONTRACTIONS.contains(&words.concat().as_str()) {
                        table.insert_both(&words);
                    }
                }
            }
        }
    }
    for word in DROPPED_G.split(' ') {
        for word in [word.to_owned(), capital(word)] {
            table.insert_both(&[&word]);
            table.insert_both(&[&format!("{word}'")]);
        }
    }
    for word in WHOLE.split(' ').chain(FACES.split_whitespace()) {
        table.insert_both(&[word]);
    }
    for letter in 'a'..='z' {
        table.insert(&[&format!("{letter}.")]);
    }
    for hour in 1..=12 {
        for period in ["a.m.", "am", "p.m.", "pm"] {
            table.insert(&[&hour.to_string(), period]);
        }
    }
    for unit in ["c", "f", "k", "C", "F", "K"] {
        table.insert(&["°", unit, "."]);
    }
    table.insert_both(&["y'", "all"]);
    table.insert(&["y", "all"]);
    table
});

/// The byte lengths of an exception's words, or `None` where the chunk is none.
#[inline]
pub(super) fn lookup(chunk: &str) -> Option<impl Iterator<Item = usize> + use<>> {
    let bytes = chunk.as_bytes();
    if bytes.len() > LONGEST {
        return None;
    }
    let table = &*TABLE;
    let key = pack(bytes);
    let mut at = slot(key);
    while table.taken[at / 64] >> (at % 64) & 1 == 1 {
        if table.slots[at].0 == key {
            return Some(table.slots[at].1.into_iter().take_while(|&length| length > 0).map(usize::from));
        }
        at = (at + 1) % SLOTS;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(chunk: &str) -> Option<Vec<usize>> {
        lookup(chunk).map(Iterator::collect)
    }

    #[test]
    fn stems_meet_their_endings() {
        assert_eq!(words("don't"), Some(vec![2, 3]));
        assert_eq!(words("Don’t"), Some(vec![2, 5]));
        assert_eq!(words("cannot"), Some(vec![3, 3]));
        assert_eq!(words("it'd've"), Some(vec![2, 2, 3]));
        assert_eq!(words("Mr."), Some(vec![3]));
        assert_eq!(words("12pm"), Some(vec![2, 2]));
        for word in ["its", "hello", "", "13pm", "a much longer chunk", "\0"] {
            assert_eq!(words(word), None, "{word}");
        }
    }

    #[test]
    fn the_table_has_the_published_number_of_entries() {
        // 1,347 with four of white space and the one face that is longer than a slot; "Let's" and its like included.
        let taken: u32 = TABLE.taken.iter().map(|bits| bits.count_ones()).sum();
        assert_eq!(taken, 1347 - 4 - 1);
    }
}
