//! ISO 639-3 codes to their two-letter forms.

/// The ISO 639-1 code of a language where it has one, else the code as it is.
///
/// Individual languages that stand for a macrolanguage in common detectors (`cmn`, `pes`, `arb`) take its code.
pub fn short_code(code: &str) -> &str {
    match CODES.binary_search_by_key(&code, |&(long, _)| long) {
        Ok(at) => CODES[at].1,
        Err(_) => code,
    }
}

/// The code of a language as a source names it: `EN`, `eng`, `en-US` and `en_GB` are `en`. `None` for what is no code, such
/// as `English`.
pub fn code_of_source(name: &str) -> Option<String> {
    let primary = name.trim().split(['-', '_']).next()?.to_ascii_lowercase();
    let is_code = matches!(primary.len(), 2 | 3) && primary.bytes().all(|byte| byte.is_ascii_lowercase());
    is_code.then(|| short_code(&primary).to_owned())
}

/// Whether a code may name a language: two letters of ISO 639-1, or three, whatever they are, for ISO 639-3 names thousands.
/// `bh` is in ISO 639-1 no more, and a label of `lid.176`.
pub fn is_code(code: &str) -> bool {
    let is_short = |code: &str| code == "bh" || CODES.iter().any(|(_, short)| *short == code);
    match code.len() {
        2 => is_short(code),
        3 => code.bytes().all(|byte| byte.is_ascii_lowercase()),
        _ => false,
    }
}

/// The codes of the languages that the built-in detector tells apart, in order.
pub fn built_in_codes() -> Vec<&'static str> {
    let mut codes: Vec<&str> =
        whatlang::Lang::all().iter().map(|language| short_code(language.code())).collect();
    codes.sort_unstable();
    codes
}

/// Sorted by the long code.
#[rustfmt::skip]
static CODES: &[(&str, &str)] = &[
    ("aar", "aa"), ("abk", "ab"), ("afr", "af"), ("aka", "ak"), ("amh", "am"), ("ara", "ar"), ("arb", "ar"), ("arg", "an"),
    ("asm", "as"), ("ava", "av"), ("ave", "ae"), ("aym", "ay"), ("aze", "az"), ("azj", "az"), ("bak", "ba"), ("bam", "bm"),
    ("bel", "be"), ("ben", "bn"), ("bis", "bi"), ("bod", "bo"), ("bos", "bs"), ("bre", "br"), ("bul", "bg"), ("cat", "ca"),
    ("ces", "cs"), ("cha", "ch"), ("che", "ce"), ("chu", "cu"), ("chv", "cv"), ("cmn", "zh"), ("cor", "kw"), ("cos", "co"),
    ("cre", "cr"), ("cym", "cy"), ("dan", "da"), ("deu", "de"), ("div", "dv"), ("dzo", "dz"), ("ekk", "et"), ("ell", "el"),
    ("eng", "en"), ("epo", "eo"), ("est", "et"), ("eus", "eu"), ("ewe", "ee"), ("fao", "fo"), ("fas", "fa"), ("fij", "fj"),
    ("fin", "fi"), ("fra", "fr"), ("fry", "fy"), ("ful", "ff"), ("gla", "gd"), ("gle", "ga"), ("glg", "gl"), ("glv", "gv"),
    ("grn", "gn"), ("guj", "gu"), ("hat", "ht"), ("hau", "ha"), ("hbs", "sh"), ("heb", "he"), ("her", "hz"), ("hin", "hi"),
    ("hmo", "ho"), ("hrv", "hr"), ("hun", "hu"), ("hye", "hy"), ("ibo", "ig"), ("ido", "io"), ("iii", "ii"), ("iku", "iu"),
    ("ile", "ie"), ("ina", "ia"), ("ind", "id"), ("ipk", "ik"), ("isl", "is"), ("ita", "it"), ("jav", "jv"), ("jpn", "ja"),
    ("kal", "kl"), ("kan", "kn"), ("kas", "ks"), ("kat", "ka"), ("kau", "kr"), ("kaz", "kk"), ("khk", "mn"), ("khm", "km"),
    ("kik", "ki"), ("kin", "rw"), ("kir", "ky"), ("kom", "kv"), ("kon", "kg"), ("kor", "ko"), ("kua", "kj"), ("kur", "ku"),
    ("lao", "lo"), ("lat", "la"), ("lav", "lv"), ("lim", "li"), ("lin", "ln"), ("lit", "lt"), ("ltz", "lb"), ("lub", "lu"),
    ("lug", "lg"), ("lvs", "lv"), ("mah", "mh"), ("mal", "ml"), ("mar", "mr"), ("mkd", "mk"), ("mlg", "mg"), ("mlt", "mt"),
    ("mon", "mn"), ("mri", "mi"), ("msa", "ms"), ("mya", "my"), ("nau", "na"), ("nav", "nv"), ("nbl", "nr"), ("nde", "nd"),
    ("ndo", "ng"), ("nep", "ne"), ("nld", "nl"), ("nno", "nn"), ("nob", "nb"), ("nor", "no"), ("npi", "ne"), ("nya", "ny"),
    ("oci", "oc"), ("oji", "oj"), ("ori", "or"), ("orm", "om"), ("ory", "or"), ("oss", "os"), ("pan", "pa"), ("pes", "fa"),
    ("pli", "pi"), ("pol", "pl"), ("por", "pt"), ("pus", "ps"), ("que", "qu"), ("roh", "rm"), ("ron", "ro"), ("run", "rn"),
    ("rus", "ru"), ("sag", "sg"), ("san", "sa"), ("sin", "si"), ("slk", "sk"), ("slv", "sl"), ("sme", "se"), ("smo", "sm"),
    ("sna", "sn"), ("snd", "sd"), ("som", "so"), ("sot", "st"), ("spa", "es"), ("sqi", "sq"), ("srd", "sc"), ("srp", "sr"),
    ("ssw", "ss"), ("sun", "su"), ("swa", "sw"), ("swe", "sv"), ("swh", "sw"), ("tah", "ty"), ("tam", "ta"), ("tat", "tt"),
    ("tel", "te"), ("tgk", "tg"), ("tgl", "tl"), ("tha", "th"), ("tir", "ti"), ("ton", "to"), ("tsn", "tn"), ("tso", "ts"),
    ("tuk", "tk"), ("tur", "tr"), ("twi", "tw"), ("uig", "ug"), ("ukr", "uk"), ("urd", "ur"), ("uzb", "uz"), ("uzn", "uz"),
    ("ven", "ve"), ("vie", "vi"), ("vol", "vo"), ("wln", "wa"), ("wol", "wo"), ("xho", "xh"), ("ydd", "yi"), ("yid", "yi"),
    ("yor", "yo"), ("zha", "za"), ("zho", "zh"), ("zsm", "ms"), ("zul", "zu"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_covers_the_detector() {
        assert!(CODES.is_sorted());
        for language in whatlang::Lang::all() {
            assert_eq!(short_code(language.code()).len(), 2, "{language:?}");
        }
        assert_eq!(short_code("en"), "en");
        assert_eq!(short_code("ceb"), "ceb");
    }

    #[test]
    fn two_letters_are_no_language_by_themselves() {
        for code in ["en", "zh", "sh", "bh", "ceb", "yue"] {
            assert!(is_code(code), "{code}");
        }
        for code in ["xx", "english", "e", "EN", "12", "en-US", ""] {
            assert!(!is_code(code), "{code}");
        }
        let codes = built_in_codes();
        assert!(codes.len() > 60 && codes.contains(&"en") && !codes.contains(&"ceb"), "{codes:?}");
    }

    #[test]
    fn sources_name_languages_in_many_ways() {
        for name in ["en", "EN", "eng", "en-US", "en_GB", " en "] {
            assert_eq!(code_of_source(name).as_deref(), Some("en"), "{name}");
        }
        assert_eq!(code_of_source("zh-Hans-CN").as_deref(), Some("zh"));
        for name in ["", "English", "e", "12", "日本"] {
            assert_eq!(code_of_source(name), None, "{name}");
        }
    }
}
