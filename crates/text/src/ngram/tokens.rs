//! How a line of text is cut into the words of a model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::is_unspaced;

/// How lines are cut into the words that the model knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tokens {
    /// Lower case, every digit a `0`, each mark a word of its own, and in scripts without blanks each character.
    #[default]
    Normal,
    /// What stands between white space, as it is: for models whose training text was cut already.
    WhiteSpace,
}

impl Tokens {
    /// Hands the words of one line to `take`, in order; `word` is scratch.
    pub(super) fn each(self, line: &str, word: &mut String, mut take: impl FnMut(&str)) {
        if self == Self::WhiteSpace {
            line.split_whitespace().for_each(take);
            return;
        }
        word.clear();
        for c in line.chars() {
            if c.is_alphanumeric() && !is_unspaced(c) {
                if c.is_numeric() {
                    word.push('0');
                } else {
                    word.extend(c.to_lowercase());
                }
                continue;
            }
            // An apostrophe within a word, and marks that combine with its letters, belong to it.
            if !word.is_empty() && (matches!(c, '\'' | '’') || is_mark(c)) {
                word.push(if c == '’' { '\'' } else { c });
                continue;
            }
            if !word.is_empty() {
                take(word);
                word.clear();
            }
            if !c.is_whitespace() && !c.is_control() {
                take(c.encode_utf8(&mut [0; 4]));
            }
        }
        if !word.is_empty() {
            take(word);
            word.clear();
        }
    }
}

fn is_mark(c: char) -> bool {
    use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
    !c.is_ascii() && c.general_category_group() == GeneralCategoryGroup::Mark
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(tokens: Tokens, line: &str) -> Vec<String> {
        let mut found = Vec::new();
        tokens.each(line, &mut String::new(), |word| found.push(word.to_owned()));
        found
    }

    #[test]
    fn lines_are_cut_as_said() {
        assert_eq!(
            cut(Tokens::Normal, " It’s 12.50€, Straße!"),
            ["it's", "00", ".", "00", "€", ",", "straße", "!"]
        );
        assert_eq!(cut(Tokens::Normal, "我爱 ΑΒ"), ["我", "爱", "αβ"]);
        assert_eq!(cut(Tokens::WhiteSpace, " It's  a "), ["It's", "a"]);
        assert_eq!(cut(Tokens::Normal, " \t "), Vec::<String>::new());
    }
}
