//! Short lines that belong to the site and not to the text, known by how they begin.
//!
//! Only for runs that are short or mostly a link: a sentence of an article may begin the same way.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, Anchored, Input, MatchKind, StartKind};

/// Beginnings in lower case, by language.
const BEGINNINGS: &[&[&str]] = &[
    // English
    &[
        "read more",
        "read also",
        "also read",
        "read next",
        "related:",
        "see also:",
        "more on this",
        "more from",
        "recommended",
        "you may also",
        "you might also",
        "share this",
        "share on",
        "share:",
        "follow us",
        "follow @",
        "sign up",
        "subscribe",
        "get the latest",
        "click here",
        "advertisement",
        "all rights reserved",
        "copyright ©",
        "© ",
        "©2",
        "photo:",
        "photos:",
        "image:",
        "image credit",
        "photo credit",
        "comments",
        "leave a comment",
        "leave a reply",
        "print this",
        "print article",
        "email this",
        "tags:",
        "tagged",
        "filed under",
        "posted in",
        "posted by",
        "published:",
        "last updated",
        "updated at",
        "continue reading",
        "next article",
        "previous article",
        "watch:",
        "watch now",
        "most read",
        "most popular",
        "trending",
        "story continues below",
        "article continues",
        "download our app",
        "join our",
        "like us on",
        "have a tip",
        "your email address",
        "skip to",
        "back to top",
        "view comments",
        "show comments",
        "load more",
        "related stories",
        "related articles",
        "related posts",
        "more stories",
        "this article was originally",
        "reprinted with permission",
        "loading",
        "advertiser disclosure",
    ],
    // German
    &[
        "lesen sie auch",
        "lesen sie mehr",
        "mehr zum thema",
        "mehr dazu",
        "auch interessant",
        "weiterlesen",
        "teilen sie",
        "teilen:",
        "diesen artikel",
        "artikel teilen",
        "seite teilen",
        "newsletter",
        "anzeige",
        "werbung",
        "foto:",
        "fotos:",
        "bild:",
        "bildquelle",
        "kommentare",
        "kommentar schreiben",
        "schreibe einen kommentar",
        "hinterlasse einen kommentar",
        "schlagwörter",
        "schlagworte",
        "ähnliche beiträge",
        "ähnliche artikel",
        "verwandte artikel",
        "verwandte themen",
        "folgen sie",
        "folge uns",
        "abonnieren",
        "jetzt abonnieren",
        "alle rechte vorbehalten",
        "zurück zur",
        "zum thema",
        "meistgelesen",
        "beliebte beiträge",
        "kategorie:",
        "kategorien:",
        "themen:",
        "veröffentlicht am",
        "erstellt am",
        "drucken",
        "das könnte",
    ],
    // French
    &[
        "lire aussi",
        "à lire aussi",
        "a lire aussi",
        "lire la suite",
        "voir aussi",
        "partager",
        "abonnez-vous",
        "inscrivez-vous",
        "suivez-nous",
        "crédit photo",
        "crédits photo",
        "photo :",
        "publicité",
        "commentaires",
        "laisser un commentaire",
        "sur le même sujet",
        "articles liés",
        "tous droits réservés",
        "en savoir plus",
    ],
    // Spanish
    &[
        "lea también",
        "lee también",
        "lea más",
        "lee más",
        "leer más",
        "vea también",
        "ver más",
        "te puede interesar",
        "le puede interesar",
        "compartir",
        "suscríbete",
        "suscríbase",
        "síguenos",
        "foto:",
        "publicidad",
        "comentarios",
        "etiquetas",
        "artículos relacionados",
        "noticias relacionadas",
        "todos los derechos",
        "contenido relacionado",
        "lea:",
        "más noticias",
        "newsletter",
    ],
    // Portuguese
    &[
        "leia também",
        "leia mais",
        "veja também",
        "saiba mais",
        "compartilhe",
        "compartilhar",
        "siga-nos",
        "assine",
        "inscreva-se",
        "comentários",
        "publicidade",
        "notícias relacionadas",
        "todos os direitos",
    ],
    // Italian
    &[
        "leggi anche",
        "leggi tutto",
        "vedi anche",
        "potrebbe interessarti",
        "condividi",
        "iscriviti",
        "seguici",
        "pubblicità",
        "commenti",
        "articoli correlati",
        "tutti i diritti",
    ],
    // Dutch and Polish
    &[
        "lees ook",
        "lees meer",
        "lees verder",
        "deel dit",
        "reacties",
        "czytaj także",
        "czytaj też",
        "zobacz także",
        "zobacz też",
    ],
    // Russian and Ukrainian
    &[
        "читайте также",
        "читать также",
        "читать далее",
        "смотрите также",
        "подробнее",
        "поделиться",
        "подписывайтесь",
        "подписаться",
        "фото:",
        "реклама",
        "комментарии",
        "похожие",
        "теги:",
        "источник фото",
        "добавить отзыв",
        "добавить комментарий",
        "читайте також",
    ],
    // Chinese, Japanese, Korean
    &[
        "相关阅读",
        "相关文章",
        "相关新闻",
        "推荐阅读",
        "延伸阅读",
        "责任编辑",
        "分享到",
        "扫一扫",
        "版权所有",
        "上一篇",
        "下一篇",
        "点击进入",
        "关连记事",
        "関連記事",
        "あわせて読みたい",
        "続きを読む",
        "シェアする",
        "관련기사",
        "관련 기사",
        "저작권자",
        "무단전재",
        "copyright ⓒ",
        "copyrightⓒ",
        "[저작권자",
    ],
];

/// How many characters of a line are read, with room for what is written before its first word.
pub(super) const MAX_BEGINNING: usize = 40;

static AUTOMATON: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let beginnings = BEGINNINGS.iter().flat_map(|language| language.iter());
    #[expect(clippy::expect_used, reason = "the phrases are constants, and every test builds them")]
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .start_kind(StartKind::Anchored)
        .build(beginnings)
        .expect("an automaton of phrases")
});

/// Whether a line begins as those of a site do.
pub(super) fn begin_of_site(line: &str) -> bool {
    let line =
        line.trim_start_matches(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '©' | '['));
    let lower: String = line.chars().take(MAX_BEGINNING).flat_map(char::to_lowercase).collect();
    AUTOMATON.find(Input::new(&lower).anchored(Anchored::Yes)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_site_are_known_by_their_beginning() {
        for line in [
            "Read more: why",
            "» LEA TAMBIÉN: algo",
            "© 2020 Verlag",
            "Читайте также: новости",
            "相关阅读：标题",
        ] {
            assert!(begin_of_site(line), "{line}");
        }
        for line in ["", "Ready more than ever", "He said: read more", "Читайте книги"] {
            assert!(!begin_of_site(line), "{line}");
        }
    }
}
