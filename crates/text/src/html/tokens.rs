//! From bytes to tags and text, as the HTML standard's tokenizer does, without copies.
//!
//! ```text
//!            ┌───────────────── text up to the next `<` ─────────────────┐
//!  bytes ──▶ │ start tag (name, the attributes that we know) │ end tag    │ comments, doctype: skipped
//!            └─ after `script`, `style`, …: raw text up to its end tag ───┘
//! ```
//!
//! Every byte is looked at a bounded number of times: nothing searches again from an earlier place, also where an end is
//! missing. Source: <https://html.spec.whatwg.org/multipage/parsing.html#tokenization>.

use memchr::{memchr, memchr2, memmem};

use super::tag::{RAW, Tag};

/// The attributes that decide something; raw, that is with character references.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes<'a> {
    pub(super) id: &'a str,
    pub(super) class: &'a str,
    pub(super) role: &'a str,
    pub(super) itemprop: &'a str,
    pub(super) style: &'a str,
    pub(super) href: Option<&'a str>,
    pub(super) aria_hidden: &'a str,
    pub(super) hidden: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Start {
        tag: Tag,
        name: &'a str,
        attributes: Attributes<'a>,
    },
    End {
        tag: Tag,
        name: &'a str,
    },
    /// Bytes of the source that are text; with character references unless they are `raw`.
    Text {
        from: usize,
        to: usize,
    },
}

pub(super) struct Tokenizer<'a> {
    source: &'a str,
    at: usize,
    /// The element whose raw text comes next, up to its end tag.
    raw: Option<Tag>,
}

impl<'a> Tokenizer<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { source, at: 0, raw: None }
    }

    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.source.as_bytes();
        if let Some(tag) = self.raw.take() {
            let from = self.at;
            self.at = raw_end(bytes, from, tag);
            if self.at > from {
                return Some(Token::Text { from, to: self.at });
            }
        }
        let from = self.at;
        let mut search = from;
        loop {
            let Some(found) = memchr(b'<', &bytes[search..]) else {
                self.at = bytes.len();
                return (from < self.at).then_some(Token::Text { from, to: self.at });
            };
            let open = search + found;
            let next = bytes.get(open + 1).copied().unwrap_or(0);
            let is_markup = next.is_ascii_alphabetic()
                || matches!(next, b'!' | b'?')
                || (next == b'/' && bytes.len() > open + 2);
            if !is_markup {
                search = open + 1;
                continue;
            }
            if open > from {
                self.at = open;
                return Some(Token::Text { from, to: open });
            }
            if next.is_ascii_alphabetic() {
                return self.start_tag(open + 1);
            }
            if next == b'/' && bytes[open + 2].is_ascii_alphabetic() {
                return self.end_tag(open + 2);
            }
            self.at = skip_declaration(bytes, open);
            return self.next_after_declaration();
        }
    }

    /// Declarations and comments may follow each other without bound: a loop, not a recursion.
    fn next_after_declaration(&mut self) -> Option<Token<'a>> {
        let bytes = self.source.as_bytes();
        while let Some(rest) = bytes.get(self.at..) {
            let declares = match rest {
                [b'<', b'!' | b'?', ..] => true,
                [b'<', b'/', next, ..] => !next.is_ascii_alphabetic(),
                _ => false,
            };
            if !declares {
                break;
            }
            self.at = skip_declaration(bytes, self.at);
        }
        self.next()
    }

    fn start_tag(&mut self, from: usize) -> Option<Token<'a>> {
        let (name, after) = self.name(from);
        let (attributes, end) = self.attributes(after)?;
        self.at = end;
        let tag = Tag::of(name.as_bytes());
        if tag.is(RAW) || tag == Tag::Plaintext {
            self.raw = Some(tag);
        }
        Some(Token::Start { tag, name, attributes })
    }

    fn end_tag(&mut self, from: usize) -> Option<Token<'a>> {
        let (name, after) = self.name(from);
        let (_, end) = self.attributes(after)?;
        self.at = end;
        Some(Token::End { tag: Tag::of(name.as_bytes()), name })
    }

    fn name(&self, from: usize) -> (&'a str, usize) {
        let rest = &self.source.as_bytes()[from..];
        let length = rest.iter().position(|byte| is_space(*byte) || matches!(byte, b'/' | b'>'));
        let to = length.map_or(self.source.len(), |length| from + length);
        (&self.source[from..to], to)
    }

    /// The attributes from `at`, and where the tag ends. None where the page ends first: then the tag never was.
    fn attributes(&mut self, mut at: usize) -> Option<(Attributes<'a>, usize)> {
        let bytes = self.source.as_bytes();
        let mut found = Attributes::default();
        loop {
            match bytes.get(at).copied() {
                None => {
                    self.at = bytes.len();
                    return None;
                }
                Some(b'>') => return Some((found, at + 1)),
                Some(byte) if is_space(byte) || byte == b'/' => at += 1,
                Some(_) => at = self.attribute(at, &mut found),
            }
        }
    }

    /// Reads one attribute; gives the place after it.
    fn attribute(&self, from: usize, found: &mut Attributes<'a>) -> usize {
        let bytes = self.source.as_bytes();
        let ends = |byte: &u8| is_space(*byte) || matches!(byte, b'/' | b'>' | b'=');
        // The first byte belongs to the name, also where it is `=`.
        let length = bytes[from + 1..].iter().position(ends).map_or(bytes.len() - from, |length| length + 1);
        let name = &bytes[from..from + length];
        let mut at = from + length;
        let skip_spaces = |at: usize| at + bytes[at..].iter().take_while(|byte| is_space(**byte)).count();
        let after = skip_spaces(at);
        let mut value = 0..0;
        if bytes.get(after) == Some(&b'=') {
            at = skip_spaces(after + 1);
            match bytes.get(at).copied() {
                Some(quote @ (b'"' | b'\'')) => {
                    let length = memchr(quote, &bytes[at + 1..]);
                    value = at + 1..length.map_or(bytes.len(), |length| at + 1 + length);
                    at = (value.end + 1).min(bytes.len());
                }
                Some(b'>') | None => {}
                Some(_) => {
                    let ends = |byte: &u8| is_space(*byte) || *byte == b'>';
                    let length = bytes[at..].iter().position(ends);
                    value = at..length.map_or(bytes.len(), |length| at + length);
                    at = value.end;
                }
            }
        }
        found.note(name, &self.source[value]);
        at
    }
}

impl<'a> Attributes<'a> {
    /// Keeps an attribute that we know; of two with one name the first counts.
    fn note(&mut self, name: &[u8], value: &'a str) {
        let slot = match name.len() {
            2 if name.eq_ignore_ascii_case(b"id") => &mut self.id,
            4 if name.eq_ignore_ascii_case(b"role") => &mut self.role,
            4 if name.eq_ignore_ascii_case(b"href") => {
                self.href.get_or_insert(value);
                return;
            }
            5 if name.eq_ignore_ascii_case(b"class") => &mut self.class,
            5 if name.eq_ignore_ascii_case(b"style") => &mut self.style,
            6 if name.eq_ignore_ascii_case(b"hidden") => {
                self.hidden = true;
                return;
            }
            8 if name.eq_ignore_ascii_case(b"itemprop") => &mut self.itemprop,
            11 if name.eq_ignore_ascii_case(b"aria-hidden") => &mut self.aria_hidden,
            _ => return,
        };
        if slot.is_empty() {
            *slot = value;
        }
    }
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\r' | 0x0c)
}

/// The place after the comment, doctype or other declaration that begins at `open`.
fn skip_declaration(bytes: &[u8], open: usize) -> usize {
    let rest = &bytes[open..];
    if !rest.starts_with(b"<!--") {
        return memchr(b'>', rest).map_or(bytes.len(), |length| open + length + 1);
    }
    // `<!-->` and `<!--->` are whole comments.
    let mut at = open + 2;
    while let Some(found) = memmem::find(&bytes[at..], b"--") {
        let after = at + found + 2;
        match bytes.get(after) {
            Some(b'>') => return after + 1,
            Some(b'!') if after > open + 4 && bytes.get(after + 1) == Some(&b'>') => return after + 2,
            _ => at = after - 1,
        }
    }
    bytes.len()
}

/// Where the raw text of `tag` ends: at the `<` of its end tag, or with the page.
fn raw_end(bytes: &[u8], from: usize, tag: Tag) -> usize {
    if tag == Tag::Plaintext {
        return bytes.len();
    }
    // Within a script, `<!--` … `<script>` hides one `</script>`.
    let (mut in_comment, mut hides) = (false, false);
    let mut at = from;
    loop {
        let found = if in_comment { memchr2(b'<', b'-', &bytes[at..]) } else { memchr(b'<', &bytes[at..]) };
        let Some(found) = found else { return bytes.len() };
        at += found;
        let rest = &bytes[at..];
        if rest[0] == b'-' {
            in_comment = !rest.starts_with(b"-->");
            hides &= in_comment;
            at += 1;
        } else if rest.get(1) == Some(&b'/') && names(&rest[2..], tag) {
            if !hides {
                return at;
            }
            hides = false;
            at += 2;
        } else if tag == Tag::Script && rest.starts_with(b"<!--") {
            in_comment = true;
            at += 2;
        } else {
            hides |= in_comment && names(&rest[1..], tag);
            at += 1;
        }
    }
}

/// Whether a tag of this name begins here.
fn names(rest: &[u8], tag: Tag) -> bool {
    let length = rest.iter().take(16).take_while(|byte| byte.is_ascii_alphabetic()).count();
    rest.get(length).is_some_and(|byte| is_space(*byte) || matches!(byte, b'/' | b'>'))
        && Tag::of(&rest[..length]) == tag
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokens as a person would write them: `name`, `/name`, `"text"`.
    fn tokens(source: &str) -> String {
        let mut tokens = Tokenizer::new(source);
        let mut out = Vec::new();
        while let Some(token) = tokens.next() {
            out.push(match token {
                Token::Start { name, attributes, .. } if attributes.class.is_empty() => name.to_owned(),
                Token::Start { name, attributes, .. } => format!("{name}.{}", attributes.class),
                Token::End { name, .. } => format!("/{name}"),
                Token::Text { from, to } => format!("{:?}", &source[from..to]),
            });
        }
        out.join(" ")
    }

    #[test]
    fn tags_and_text_are_told_apart_as_browsers_do() {
        for (source, expected) in [
            ("a < b <p>c</p>", r#""a < b " p "c" /p"#),
            ("<P CLASS=a/b>x</ p>y</>z", r#"P.a/b "x" "y" "z""#),
            ("<p class = 'a>b' class=c>x", r#"p.a>b "x""#),
            ("<p class=\"a\"b=c/>x", r#"p.a "x""#),
            ("<p =a class=b>", "p.b"),
            ("<p class=>x", r#"p "x""#),
            ("x<p class='", r#""x""#),
            ("<!--a-->b<!-->c<!--->d<!--e--!>f<!--g", r#""b" "c" "d" "f""#),
            ("<!doctype html><?x?><![CDATA[y]]>z", r#""z""#),
            ("<script>a<b</script >c", r#"script "a<b" /script "c""#),
            (
                "<script><!--<script></script>--></script>x",
                r#"script "<!--<script></script>-->" /script "x""#,
            ),
            ("<script><!--></script>x", r#"script "<!-->" /script "x""#),
            ("<style></styles></style>x", r#"style "</styles>" /style "x""#),
            ("<title>a<b></title>", r#"title "a<b>" /title"#),
            ("<plaintext></plaintext>", r#"plaintext "</plaintext>""#),
            ("<", r#""<""#),
            ("</", r#""</""#),
        ] {
            assert_eq!(tokens(source), expected, "{source}");
        }
    }
}
