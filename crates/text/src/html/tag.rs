//! The elements that the tree and the extractor tell apart, and what each of them does.

/// Starts a line of its own.
pub(super) const BLOCK: u16 = 1;
/// Never has content.
pub(super) const VOID: u16 = 1 << 1;
/// An end tag inside it never closes what is open around it.
pub(super) const SCOPE: u16 = 1 << 2;
/// Its start closes an open paragraph.
pub(super) const CLOSES_P: u16 = 1 << 3;
/// What stands in it is one text, whatever it looks like, and not for readers.
pub(super) const RAW: u16 = 1 << 4;
/// Never part of any text: its whole subtree is left out of the tree.
pub(super) const UNSEEN: u16 = 1 << 5;
/// Stands in the head of a page.
pub(super) const HEAD: u16 = 1 << 6;
/// Ends at the end of its parent in well-formed pages too: many stand side by side without end tags.
pub(super) const ENDS_ITSELF: u16 = 1 << 7;

macro_rules! tags {
    ($($name:ident $text:literal $flags:expr;)*) => {
        /// An element's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub(super) enum Tag { Text, Other, $($name,)* }

        const FLAGS: &[u16] = &[0, 0, $($flags,)*];

        impl Tag {
            /// The tag of a name in lower case; `Other` where it is none of ours.
            fn of_lower(name: &str) -> Tag {
                match name {
                    $($text => Tag::$name,)*
                    _ => Tag::Other,
                }
            }

            /// The name, as a page writes it.
            #[cfg(test)]
            pub(super) fn name(self) -> &'static str {
                ["", "", $($text,)*][self as usize]
            }
        }
    };
}

tags! {
    A "a" 0;
    Abbr "abbr" 0;
    Address "address" BLOCK | CLOSES_P;
    Applet "applet" UNSEEN;
    Area "area" VOID | UNSEEN;
    Article "article" BLOCK | CLOSES_P;
    Aside "aside" BLOCK | CLOSES_P;
    Audio "audio" UNSEEN;
    B "b" 0;
    Base "base" VOID | HEAD;
    Blockquote "blockquote" BLOCK | CLOSES_P;
    Body "body" BLOCK | SCOPE;
    Br "br" VOID;
    Button "button" 0;
    Canvas "canvas" UNSEEN;
    Caption "caption" BLOCK | SCOPE;
    Center "center" BLOCK | CLOSES_P;
    Cite "cite" 0;
    Code "code" 0;
    Col "col" VOID;
    Colgroup "colgroup" 0;
    Datalist "datalist" UNSEEN;
    Dd "dd" BLOCK | CLOSES_P | ENDS_ITSELF;
    Del "del" 0;
    Details "details" BLOCK | CLOSES_P;
    Dialog "dialog" BLOCK | CLOSES_P;
    Dir "dir" BLOCK | CLOSES_P;
    Div "div" BLOCK | CLOSES_P;
    Dl "dl" BLOCK | CLOSES_P;
    Dt "dt" BLOCK | CLOSES_P | ENDS_ITSELF;
    Em "em" 0;
    Embed "embed" VOID | UNSEEN;
    Fieldset "fieldset" BLOCK | CLOSES_P;
    Figcaption "figcaption" BLOCK | CLOSES_P;
    Figure "figure" BLOCK | CLOSES_P;
    Font "font" 0;
    Footer "footer" BLOCK | CLOSES_P;
    Form "form" BLOCK | CLOSES_P;
    H1 "h1" BLOCK | CLOSES_P;
    H2 "h2" BLOCK | CLOSES_P;
    H3 "h3" BLOCK | CLOSES_P;
    H4 "h4" BLOCK | CLOSES_P;
    H5 "h5" BLOCK | CLOSES_P;
    H6 "h6" BLOCK | CLOSES_P;
    Head "head" BLOCK | HEAD;
    Header "header" BLOCK | CLOSES_P;
    Hr "hr" VOID | BLOCK | CLOSES_P;
    Html "html" BLOCK | SCOPE;
    I "i" 0;
    Iframe "iframe" RAW | UNSEEN;
    Img "img" VOID;
    Input "input" VOID;
    Ins "ins" 0;
    Kbd "kbd" 0;
    Label "label" 0;
    Legend "legend" BLOCK;
    Li "li" BLOCK | CLOSES_P | ENDS_ITSELF;
    Link "link" VOID | HEAD | UNSEEN;
    Main "main" BLOCK | CLOSES_P;
    Map "map" UNSEEN;
    Mark "mark" 0;
    Marquee "marquee" BLOCK;
    Math "math" 0;
    Menu "menu" BLOCK | CLOSES_P;
    Meta "meta" VOID | HEAD | UNSEEN;
    Nav "nav" BLOCK | CLOSES_P;
    Noembed "noembed" RAW | UNSEEN;
    Noframes "noframes" RAW | UNSEEN;
    Noscript "noscript" RAW | UNSEEN | HEAD;
    Object "object" UNSEEN;
    Ol "ol" BLOCK | CLOSES_P;
    Optgroup "optgroup" BLOCK | ENDS_ITSELF;
    Option "option" BLOCK | ENDS_ITSELF;
    Output "output" 0;
    P "p" BLOCK | CLOSES_P;
    Param "param" VOID | UNSEEN;
    Picture "picture" 0;
    Plaintext "plaintext" BLOCK | CLOSES_P;
    Pre "pre" BLOCK | CLOSES_P;
    Progress "progress" UNSEEN;
    Q "q" 0;
    Rp "rp" UNSEEN;
    Rt "rt" UNSEEN;
    Ruby "ruby" 0;
    S "s" 0;
    Samp "samp" 0;
    Script "script" RAW | UNSEEN | HEAD;
    Section "section" BLOCK | CLOSES_P;
    Select "select" 0;
    Small "small" 0;
    Source "source" VOID | UNSEEN;
    Span "span" 0;
    Strike "strike" 0;
    Strong "strong" 0;
    Style "style" RAW | UNSEEN | HEAD;
    Sub "sub" 0;
    Summary "summary" BLOCK | CLOSES_P;
    Sup "sup" 0;
    Svg "svg" UNSEEN;
    Table "table" BLOCK | SCOPE | CLOSES_P;
    Tbody "tbody" BLOCK;
    Td "td" BLOCK | SCOPE;
    Template "template" UNSEEN | HEAD;
    Textarea "textarea" RAW | UNSEEN;
    Tfoot "tfoot" BLOCK;
    Th "th" BLOCK | SCOPE;
    Thead "thead" BLOCK;
    Time "time" 0;
    Title "title" RAW | HEAD;
    Tr "tr" BLOCK;
    Track "track" VOID | UNSEEN;
    Tt "tt" 0;
    U "u" 0;
    Ul "ul" BLOCK | CLOSES_P;
    Video "video" UNSEEN;
    Wbr "wbr" VOID;
    Xmp "xmp" RAW | BLOCK | CLOSES_P;
}

impl Tag {
    /// The tag of a name in any case.
    pub(super) fn of(name: &[u8]) -> Tag {
        let mut lower = [0; 16];
        let Some(place) = lower.get_mut(..name.len()) else { return Tag::Other };
        place.copy_from_slice(name);
        place.make_ascii_lowercase();
        std::str::from_utf8(place).map_or(Tag::Other, Tag::of_lower)
    }

    pub(super) fn is(self, flags: u16) -> bool {
        FLAGS[self as usize] & flags != 0
    }
}
