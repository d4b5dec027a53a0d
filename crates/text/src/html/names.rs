//! What an element says of itself: its class, id, role and other attributes, read for the words that sites use.
//!
//! Sites name their parts much alike, in English on most of the web. A name only ever suggests: whoever prunes by it
//! asks first how much prose would go (see [`super::prune`]).

use std::ops::{BitOr, BitOrAssign};
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::tokens::{Attributes, is_space};

/// What the names of an element suggest; a set of the constants below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Names(pub(super) u32);

impl Names {
    /// Not shown.
    pub(super) const HIDDEN: Names = Names(1);
    /// Navigation, sharing, advertisement, related pages: not of this page's matter.
    pub(super) const FRAME: Names = Names(1 << 1);
    /// Small print around a text: authors, dates, tags, captions.
    pub(super) const APPENDAGE: Names = Names(1 << 2);
    /// What readers wrote below.
    pub(super) const COMMENTS: Names = Names(1 << 3);
    /// The body of an article, by an unmistakable name.
    pub(super) const ARTICLE_BODY: Names = Names(1 << 4);
    /// The caption of a picture.
    pub(super) const CAPTION: Names = Names(1 << 5);
    /// A teaser or an entry in a list of other pages.
    pub(super) const TEASER: Names = Names(1 << 6);

    pub(super) fn has(self, other: Names) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Names {
    type Output = Names;
    fn bitor(self, other: Names) -> Names {
        Names(self.0 | other.0)
    }
}

impl BitOrAssign for Names {
    fn bitor_assign(&mut self, other: Names) {
        self.0 |= other.0;
    }
}

/// Where a word must stand in a name: anywhere, at the start of a part, as a whole part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Any,
    Start,
    Whole,
    /// As the whole of a class, but for a prefix.
    Last,
}

/// What a word within a name means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Means {
    Is(Names),
    /// Half of the name of an article's body, with `Inner`.
    Outer,
    Inner,
    /// Nothing: here so that a shorter word does not match in it.
    Nothing,
}

use At::{Any, Last, Start, Whole};
use Means::{Inner, Is, Nothing, Outer};

const WORDS: &[(Means, At, &[&str])] = &[
    (
        Is(Names::FRAME),
        Any,
        &[
            "share",
            "sharing",
            "social",
            "sociable",
            "addthis",
            "addtoany",
            "shariff",
            "related",
            "recommend",
            "outbrain",
            "taboola",
            "revcontent",
            "zergnet",
            "newsletter",
            "subscri",
            "breadcrumb",
            "navigation",
            "navbar",
            "pagination",
            "footer",
            "sidebar",
            "masthead",
            "cookie",
            "advert",
            "adsense",
            "adsbygoogle",
            "skyscraper",
            "leaderboard",
            "sponsor",
            "promo",
            "trending",
            "mostread",
            "mostpopular",
            "signup",
            "paywall",
            "toolbar",
            "skiplink",
            "tagcloud",
            "readmore",
            "morefrom",
            "widgettitle",
        ],
    ),
    (
        Is(Names::FRAME),
        Start,
        &[
            "nav", "menu", "submenu", "pager", "paging", "banner", "consent", "gdpr", "popup", "modal",
            "overlay", "dfp", "aside", "login", "search", "donate", "donation", "popular", "carousel",
            "follow", "widget", "syndic", "rss",
        ],
    ),
    (Is(Names::FRAME), Whole, &["ad", "ads", "mpu", "cta", "poll", "adv", "gpt", "recirc", "noprint"]),
    (Is(Names::TEASER), Any, &["teaser", "slider", "slick", "swiper"]),
    (
        Is(Names::APPENDAGE),
        Start,
        &[
            "byline",
            "tags",
            "author",
            "meta",
            "metadata",
            "timestamp",
            "dateline",
            "copyright",
            "credit",
            "bio",
            "rating",
            "vote",
            "disclaimer",
            "tools",
            "print",
            "date",
            "published",
            "topics",
            "categor",
            "info",
            "keyword",
            "correction",
            "contact",
            "biograph",
            "avatar",
            "profile",
        ],
    ),
    (Is(Names::APPENDAGE), Whole, &["source", "sources"]),
    (Is(Names::CAPTION), Any, &["caption"]),
    (
        Is(Names::COMMENTS),
        Start,
        &[
            "comment",
            "disqus",
            "respond",
            "reply",
            "replies",
            "livefyre",
            "coment",
            "kommentar",
            "fbcomment",
            "discuss",
            "commentaire",
        ],
    ),
    (Is(Names::HIDDEN), Last, &["hidden", "hide", "invisible", "visuallyhidden"]),
    (Is(Names::HIDDEN), Any, &["visually-hidden", "screen-reader", "sr-only", "display-none"]),
    (Outer, Any, &["article", "artikel", "articulo"]),
    (Outer, Start, &["post", "story", "entry", "news", "blog", "hentry", "field", "noticia"]),
    (Inner, Any, &["content", "contenido", "inhalt"]),
    (Inner, Start, &["body", "text", "txt", "copy", "bodycopy", "detail", "description"]),
    (
        Nothing,
        Any,
        &[
            "textarea",
            "textwidget",
            "social-media-embed",
            "social-embed",
            "socialembed",
            "embed-social",
            "commentary",
            "poster",
            "postal",
            "shareholder",
            "adsorb",
            "sourcecode",
            "navy",
            "printable",
            "mainmenu",
            "navigator",
            "informa",
            "copyright-",
            "postid",
            "post-thumbnail",
            "dater",
            "datenbank",
            "pagebody",
            "webpage",
            "textcolor",
            "infobox",
            "biology",
            "dated",
        ],
    ),
];

/// The words and what the match of each means.
static LEXICON: LazyLock<(AhoCorasick, Vec<(Means, At)>)> = LazyLock::new(|| {
    let flat =
        WORDS.iter().flat_map(|(means, at, words)| words.iter().map(move |word| (*word, (*means, *at))));
    let (words, meanings): (Vec<_>, Vec<_>) = flat.unzip();
    let automaton = AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .ascii_case_insensitive(true)
        .build(words);
    #[expect(clippy::expect_used, reason = "the words are constants, and every test builds them")]
    (automaton.expect("a lexicon of words"), meanings)
});

/// What the attributes of an element suggest.
pub(super) fn of(attributes: &Attributes<'_>) -> Names {
    let mut names = Names::default();
    if attributes.hidden
        || attributes.aria_hidden.eq_ignore_ascii_case("true")
        || is_hidden_by(attributes.style)
    {
        names |= Names::HIDDEN;
    }
    if !attributes.role.is_empty() {
        names |= of_role(attributes.role);
    }
    if !attributes.itemprop.is_empty() {
        names |= of_itemprop(attributes.itemprop);
    }
    names | of_name(attributes.id) | of_name(attributes.class)
}

fn of_role(role: &str) -> Names {
    match role {
        "navigation" | "search" | "banner" | "contentinfo" | "complementary" | "dialog" | "menu"
        | "menubar" | "toolbar" | "tablist" | "alert" | "alertdialog" | "button" | "tooltip" => Names::FRAME,
        _ => Names::default(),
    }
}

fn of_itemprop(itemprop: &str) -> Names {
    match itemprop {
        "articleBody" | "reviewBody" | "text" | "blogPost" => Names::ARTICLE_BODY,
        "author" | "publisher" | "datePublished" | "dateModified" | "image" | "keywords" => Names::APPENDAGE,
        "comment" => Names::COMMENTS,
        _ => Names::default(),
    }
}

fn is_hidden_by(style: &str) -> bool {
    let after = |word: &str, value: &str| {
        memchr::memmem::find(style.as_bytes(), word.as_bytes()).is_some_and(|at| {
            let rest = style[at + word.len()..].trim_start();
            rest.strip_prefix(':').is_some_and(|rest| rest.trim_start().starts_with(value))
        })
    };
    !style.is_empty() && (after("display", "none") || after("visibility", "hidden"))
}

/// What the words of an id or a class suggest.
fn of_name(value: &str) -> Names {
    if value.is_empty() {
        return Names::default();
    }
    let (automaton, meanings) = &*LEXICON;
    let bytes = value.as_bytes();
    let mut names = Names::default();
    // Which halves the part of the value up to the next white space has named.
    let (mut outer, mut inner, mut part_end) = (false, false, 0);
    for found in automaton.find_iter(bytes) {
        let (means, at) = meanings[found.pattern().as_usize()];
        let starts = found.start() == 0 || is_bound(bytes[found.start() - 1], bytes[found.start()]);
        let ends = found.end() == bytes.len() || is_bound(bytes[found.end() - 1], bytes[found.end()]);
        let is_last = bytes.get(found.end()).is_none_or(|byte| is_space(*byte));
        if (at != Any && !starts) || (at == Whole && !ends) || (at == Last && !is_last) {
            continue;
        }
        if memchr::memchr(b' ', &bytes[part_end..found.start()]).is_some() {
            (outer, inner) = (false, false);
        }
        part_end = found.end();
        match means {
            Is(meaning) => names |= meaning,
            Outer => outer = true,
            Inner => inner = true,
            Nothing => {}
        }
        if outer && inner {
            names |= Names::ARTICLE_BODY;
        }
    }
    names
}

/// Whether a word may end and another begin between these bytes of a name.
fn is_bound(before: u8, after: u8) -> bool {
    !before.is_ascii_alphabetic()
        || !after.is_ascii_alphabetic()
        || (before.is_ascii_lowercase() && after.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(id: &str, class: &str) -> Names {
        of(&Attributes { id, class, ..Attributes::default() })
    }

    #[test]
    fn words_count_where_they_stand_alone() {
        for (class, expected) in [
            ("article-body", Names::ARTICLE_BODY),
            ("articleBody", Names::ARTICLE_BODY),
            ("post story_text", Names::ARTICLE_BODY),
            ("post content", Names::default()),
            ("social-share", Names::FRAME),
            ("ad", Names::FRAME),
            ("topAd", Names::FRAME),
            ("header shadow shareholder", Names::default()),
            ("navy menubar", Names::FRAME),
            ("is-hidden", Names::HIDDEN),
            ("hidden-xs", Names::default()),
            ("post-comments", Names::COMMENTS),
            ("commentary", Names::default()),
        ] {
            assert_eq!(names("", class), expected, "{class}");
            assert_eq!(names(class, ""), expected, "{class}");
        }
    }

    #[test]
    fn styles_hide() {
        for (style, hides) in
            [("color:red; display : none", true), ("display:block", false), ("visibility:hidden", true)]
        {
            let attributes = Attributes { style, ..Attributes::default() };
            assert_eq!(of(&attributes).has(Names::HIDDEN), hides, "{style}");
        }
    }
}
