//! The page as one flat list of nodes in the order of the source.
//!
//! ```text
//!  <div><p>a<b>c</b></p><p>d</p></div>
//!  nodes   0 div   1 p   2 "a"   3 b   4 "c"   5 p   6 "d"
//!  end     7       5     3       5     5       7     7         a subtree is the range node .. end
//! ```
//!
//! Tags are closed by the rules of the HTML standard as far as they decide which text stands in which block: implied end
//! tags, scopes of tables, end tags that close nothing. Formatting that a page forgot to close ends with its block.
//! Every token costs constant time, whatever is open.

use super::Fault;
use super::names::{self, Names};
use super::tag::{BLOCK, CLOSES_P, HEAD, SCOPE, Tag, UNSEEN, VOID};
use super::tokens::{Attributes, Token, Tokenizer, is_space};

/// Deeper pages are broken or hostile.
const MAX_DEPTH: usize = 256;
/// Pages of more elements and texts are data, not articles.
const MAX_NODES: usize = 1 << 20;

/// How many open elements of unknown names an end tag looks through for its own.
const MAX_UNKNOWN: usize = 8;

#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) tag: Tag,
    /// Whether a text stands in a link.
    pub(super) in_link: bool,
    pub(super) names: Names,
    pub(super) parent: u32,
    /// One past the last node of the subtree.
    pub(super) end: u32,
    /// The bytes of a text; of an element those of its class.
    pub(super) from: u32,
    pub(super) to: u32,
}

#[derive(Debug)]
pub(super) struct Tree<'a> {
    pub(super) source: &'a str,
    /// Node 0 is the body.
    pub(super) nodes: Vec<Node>,
    /// The bytes of the page's title.
    pub(super) title: &'a str,
}

impl<'a> Tree<'a> {
    pub(super) fn parse(source: &'a str) -> Result<Self, Fault> {
        let mut builder = Builder::new(source);
        let mut tokens = Tokenizer::new(source);
        while let Some(token) = tokens.next() {
            match token {
                Token::Start { tag, name, attributes } => builder.start(tag, name, &attributes)?,
                Token::End { tag, name } => builder.end(tag, name),
                Token::Text { from, to } => builder.text(from, to),
            }
            if builder.tree.nodes.len() > MAX_NODES {
                return Err(Fault::TooManyNodes);
            }
        }
        builder.close_to(0);
        Ok(builder.tree)
    }

    pub(super) fn text(&self, node: &Node) -> &'a str {
        &self.source[node.from as usize..node.to as usize]
    }
}

/// An element that is open.
#[derive(Clone, Copy)]
struct Open<'a> {
    tag: Tag,
    /// The name of an element that is none of ours.
    name: &'a str,
    /// None for elements that the tree leaves out.
    node: Option<u32>,
    /// The place in the stack of the open element with this tag before it, plus one.
    before: u16,
    /// The place of the innermost element, itself included, that end tags of inline elements do not pass.
    block: u16,
    /// The same for end tags of blocks.
    scope: u16,
    /// Whether it or an element around it is left out.
    unseen: bool,
}

struct Builder<'a> {
    tree: Tree<'a>,
    open: Vec<Open<'a>>,
    /// For each tag the place in `open` of its innermost open element, plus one.
    innermost: [u16; 256],
    in_link: bool,
    /// Whether nothing but white space has come since a line began.
    line_is_empty: bool,
    in_title: bool,
}

impl<'a> Builder<'a> {
    fn new(source: &'a str) -> Self {
        let body = Node {
            tag: Tag::Body,
            in_link: false,
            names: Names::default(),
            parent: 0,
            end: 1,
            from: 0,
            to: 0,
        };
        let mut nodes = Vec::with_capacity(source.len() / 64 + 16);
        nodes.push(body);
        let root =
            Open { tag: Tag::Body, name: "", node: Some(0), before: 0, block: 0, scope: 0, unseen: false };
        let mut innermost = [0; 256];
        innermost[Tag::Body as usize] = 1;
        let tree = Tree { source, nodes, title: "" };
        Self { tree, open: vec![root], innermost, in_link: false, line_is_empty: true, in_title: false }
    }

    fn start(&mut self, tag: Tag, name: &'a str, attributes: &Attributes<'a>) -> Result<(), Fault> {
        match tag {
            // What a page says of itself as a whole says nothing of its parts.
            Tag::Html | Tag::Body | Tag::Head => return Ok(()),
            Tag::Title => {
                self.in_title = self.tree.title.is_empty() && self.tree.nodes.len() == 1;
            }
            _ => {}
        }
        self.close_implied(tag);
        if tag == Tag::A {
            self.in_link = attributes.href.is_some();
        }
        let outer = self.innermost_open();
        let unseen = outer.unseen || tag.is(UNSEEN | HEAD);
        if tag.is(BLOCK) || tag == Tag::Br {
            self.line_is_empty = true;
        }
        let node = (!unseen).then(|| {
            let (from, to) = span(self.tree.source, attributes.class);
            self.push(Node {
                tag,
                in_link: self.in_link,
                names: names::of(attributes),
                parent: 0,
                end: 0,
                from,
                to,
            })
        });
        if tag.is(VOID) {
            return Ok(());
        }
        let place = self.open.len();
        if !tag.is(BLOCK | UNSEEN) && place >= MAX_DEPTH / 2 {
            // Formatting that nobody closes does no harm: it is as if it closed at once.
            return Ok(());
        }
        if place >= MAX_DEPTH {
            return Err(Fault::TooDeep);
        }
        let place = place as u16;
        self.open.push(Open {
            tag,
            name: if tag == Tag::Other { name } else { "" },
            node,
            before: self.innermost[tag as usize],
            block: if tag.is(BLOCK | SCOPE) { place } else { outer.block },
            scope: if tag.is(SCOPE) { place } else { outer.scope },
            unseen,
        });
        self.innermost[tag as usize] = place + 1;
        Ok(())
    }

    /// Appends a node to the innermost open element.
    fn push(&mut self, node: Node) -> u32 {
        let id = self.tree.nodes.len() as u32;
        // Elements that are left out have no nodes in them, so the innermost has one.
        let parent = self.innermost_open().node.unwrap_or(0);
        self.tree.nodes.push(Node { parent, end: id + 1, ..node });
        id
    }

    fn innermost_open(&self) -> Open<'a> {
        self.open[self.open.len() - 1]
    }

    fn text(&mut self, from: usize, to: usize) {
        if self.in_title {
            self.tree.title = &self.tree.source[from..to];
            self.in_title = false;
            return;
        }
        if self.innermost_open().unseen {
            return;
        }
        let is_white = self.tree.source.as_bytes()[from..to].iter().all(|byte| is_space(*byte));
        if is_white && self.line_is_empty && self.innermost[Tag::Pre as usize] == 0 {
            return;
        }
        self.line_is_empty &= is_white;
        let (from, to) = (from as u32, to as u32);
        self.push(Node {
            tag: Tag::Text,
            in_link: self.in_link,
            names: Names::default(),
            parent: 0,
            end: 0,
            from,
            to,
        });
    }

    fn end(&mut self, tag: Tag, name: &str) {
        if tag.is(BLOCK) || matches!(tag, Tag::Br | Tag::P) {
            self.line_is_empty = true;
        }
        match tag {
            Tag::Html | Tag::Body | Tag::Head => return,
            Tag::Title => self.in_title = false,
            Tag::A => self.in_link = false,
            Tag::H1 | Tag::H2 | Tag::H3 | Tag::H4 | Tag::H5 | Tag::H6 => return self.close_heading(),
            Tag::Other => return self.close_unknown(name),
            _ => {}
        }
        if let Some(place) = self.open_in_scope(tag) {
            self.close_to(place);
        }
    }

    /// The place of the innermost open element of this tag, where an end tag reaches it.
    fn open_in_scope(&self, tag: Tag) -> Option<usize> {
        let place = usize::from(self.innermost[tag as usize]).checked_sub(1)?;
        let outer = self.innermost_open();
        // The bound itself can be what is closed; the parts of a table reach out of its cells.
        let reaches = match tag {
            Tag::Table
            | Tag::Tr
            | Tag::Tbody
            | Tag::Thead
            | Tag::Tfoot
            | Tag::Td
            | Tag::Th
            | Tag::Caption => place >= usize::from(self.innermost[Tag::Table as usize]).saturating_sub(1),
            Tag::Button | Tag::Select => place >= usize::from(outer.scope),
            _ if tag.is(BLOCK | UNSEEN) => place >= usize::from(outer.scope),
            _ => place >= usize::from(outer.block),
        };
        (reaches && place > 0).then_some(place)
    }

    fn close_heading(&mut self) {
        let places =
            [Tag::H1, Tag::H2, Tag::H3, Tag::H4, Tag::H5, Tag::H6].map(|tag| self.open_in_scope(tag));
        if let Some(place) = places.into_iter().flatten().max() {
            self.close_to(place);
        }
    }

    fn close_unknown(&mut self, name: &str) {
        let bound = usize::from(self.innermost_open().block);
        let mut next = usize::from(self.innermost[Tag::Other as usize]);
        for _ in 0..MAX_UNKNOWN {
            let Some(place) = next.checked_sub(1).filter(|place| *place >= bound) else { return };
            if self.open[place].name.eq_ignore_ascii_case(name) {
                return self.close_to(place);
            }
            next = usize::from(self.open[place].before);
        }
    }

    /// Closes what a start tag ends without saying so.
    fn close_implied(&mut self, tag: Tag) {
        let closed: &[Tag] = match tag {
            Tag::Li => &[Tag::Li],
            Tag::Dt | Tag::Dd => &[Tag::Dt, Tag::Dd],
            Tag::Option => &[Tag::Option],
            Tag::Optgroup => &[Tag::Option, Tag::Optgroup],
            Tag::Tr => &[Tag::Tr, Tag::Caption, Tag::Colgroup],
            Tag::Td | Tag::Th => &[Tag::Td, Tag::Th],
            Tag::Tbody | Tag::Thead | Tag::Tfoot => {
                &[Tag::Tbody, Tag::Thead, Tag::Tfoot, Tag::Caption, Tag::Colgroup]
            }
            Tag::A => &[Tag::A],
            Tag::Button => &[Tag::Button],
            Tag::Select | Tag::Input => &[Tag::Select],
            Tag::H1 | Tag::H2 | Tag::H3 | Tag::H4 | Tag::H5 | Tag::H6 => {
                if matches!(
                    self.innermost_open().tag,
                    Tag::H1 | Tag::H2 | Tag::H3 | Tag::H4 | Tag::H5 | Tag::H6
                ) {
                    self.close_to(self.open.len() - 1);
                }
                &[]
            }
            _ => &[],
        };
        // What holds its like: a list within an item, a table within a cell.
        let holder = match tag {
            Tag::Li => [Tag::Ul, Tag::Ol].map(|list| self.innermost[list as usize]).into_iter().max(),
            Tag::Dt | Tag::Dd => Some(self.innermost[Tag::Dl as usize]),
            _ => None,
        };
        let places = closed.iter().filter_map(|tag| self.open_in_scope(*tag));
        if let Some(place) = places.min().filter(|place| *place >= usize::from(holder.unwrap_or(0))) {
            self.close_to(place);
        }
        if tag.is(CLOSES_P)
            && let Some(place) = self.open_in_scope(Tag::P)
        {
            self.close_to(place);
        }
    }

    /// Closes the elements from this place of the stack on.
    fn close_to(&mut self, place: usize) {
        let end = self.tree.nodes.len() as u32;
        while self.open.len() > place {
            let Some(closed) = self.open.pop() else { return };
            self.innermost[closed.tag as usize] = closed.before;
            if let Some(node) = closed.node {
                self.tree.nodes[node as usize].end = end;
            }
            self.in_link &= closed.tag != Tag::A;
            self.line_is_empty |= closed.tag.is(BLOCK);
        }
    }
}

/// The bytes of an attribute's value in the source.
fn span(source: &str, value: &str) -> (u32, u32) {
    if value.is_empty() {
        return (0, 0);
    }
    let from = (value.as_ptr() as usize).wrapping_sub(source.as_ptr() as usize) as u32;
    (from, from + value.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree as nested brackets, with `~` before texts in links.
    fn tree(source: &str) -> String {
        fn write(tree: &Tree<'_>, at: usize, out: &mut String) {
            let node = &tree.nodes[at];
            if node.tag == Tag::Text {
                out.push_str(if node.in_link { "~" } else { "" });
                out.push_str(tree.text(node).trim());
                return;
            }
            out.push_str(node.tag.name());
            out.push('(');
            let mut child = at + 1;
            while child < node.end as usize {
                write(tree, child, out);
                child = tree.nodes[child].end as usize;
                out.push_str(if child < node.end as usize { " " } else { "" });
            }
            out.push(')');
        }
        let mut out = String::new();
        write(&Tree::parse(source).expect("a small page"), 0, &mut out);
        out
    }

    #[test]
    fn end_tags_that_are_missing_or_wrong_are_put_right() {
        for (source, expected) in [
            ("<p>a<p>b<div>c", "body(p(a) p(b) div(c))"),
            ("<ul><li>a<ul><li>b</ul><li>c</ul>d", "body(ul(li(a ul(li(b))) li(c)) d)"),
            ("<table><tr><td>a<td>b<tr><td>c</table>d", "body(table(tr(td(a) td(b)) tr(td(c))) d)"),
            ("<table><tr><td><table><tr><td>a</table>b", "body(table(tr(td(table(tr(td(a))) b))))"),
            ("<p><table><tr><td></p></div>a</table>b", "body(p() table(tr(td(a))) b)"),
            ("<div><b>a</div>b</b>", "body(div(b(a)) b)"),
            ("<b><p>a</b>b</p>", "body(b(p(a b)))"),
            ("<dl><dt>a<dd>b<dt>c</dl>", "body(dl(dt(a) dd(b) dt(c)))"),
            ("<h2>a<h3>b</h2>c", "body(h2(a) h3(b) c)"),
            ("<a href=x>a<div>b<a href=y>c</a>d</div>e", "body(a(~a div(~b a(~c) d) e))"),
            ("<a name=x>a</a>", "body(a(a))"),
            ("<svg><p>a</svg>b<script>c</script>", "body(b)"),
            ("<title>t</title><body class=x><p>a</body></html>b", "body(p(a b))"),
            ("<button><div>a</button>b", "body(button(div(a)) b)"),
            ("<select><option>a<option>b</select>c", "body(select(option(a) option(b)) c)"),
        ] {
            assert_eq!(tree(source), expected, "{source}");
        }
    }
}
