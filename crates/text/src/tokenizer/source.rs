//! Which files a tokenizer's path stands for.

/// The files of one tokenizer, by the form they have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenizerSource {
    /// A `tokenizer.json`.
    Json(String),
    /// GPT-2's pair.
    Gpt2 {
        /// `vocab.json`.
        vocabulary: String,
        /// `merges.txt`.
        merges: String,
    },
    /// A SentencePiece model.
    SentencePiece(String),
}

impl TokenizerSource {
    /// What `path` may stand for, best first. The first whose files all exist is meant; a directory may hold any form.
    pub fn candidates(path: &str) -> Vec<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let pair = |directory: &str| Self::Gpt2 {
            vocabulary: format!("{directory}vocab.json"),
            merges: format!("{directory}merges.txt"),
        };
        if name == "vocab.json" {
            return vec![pair(&path[..path.len() - name.len()])];
        }
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        if extension.eq_ignore_ascii_case("json") {
            return vec![Self::Json(path.to_owned())];
        }
        if extension.eq_ignore_ascii_case("model") {
            return vec![Self::SentencePiece(path.to_owned())];
        }
        let directory = format!("{}/", path.trim_end_matches('/'));
        let model = |name: &str| Self::SentencePiece(format!("{directory}{name}"));
        vec![
            Self::Json(format!("{directory}tokenizer.json")),
            pair(&directory),
            model("tokenizer.model"),
            model("spiece.model"),
        ]
    }

    /// The files to read, in the order that [`Tokenizer::load`](super::Tokenizer::load) takes them.
    pub fn paths(&self) -> Vec<&str> {
        match self {
            Self::Json(path) | Self::SentencePiece(path) => vec![path],
            Self::Gpt2 { vocabulary, merges } => vec![vocabulary, merges],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_form() {
        assert_eq!(TokenizerSource::candidates("a/t.json"), [TokenizerSource::Json("a/t.json".into())]);
        assert_eq!(TokenizerSource::candidates("s3://b/t.model")[0].paths(), ["s3://b/t.model"]);
        assert_eq!(TokenizerSource::candidates("a/vocab.json")[0].paths(), ["a/vocab.json", "a/merges.txt"]);
        let directory = TokenizerSource::candidates("gpt2/");
        assert_eq!(directory[0].paths(), ["gpt2/tokenizer.json"]);
        assert_eq!(directory[1].paths(), ["gpt2/vocab.json", "gpt2/merges.txt"]);
    }
}
