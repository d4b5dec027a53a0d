//! Runs: the pieces of text between two breaks of a line, and the sums over subtrees that all judgements rest on.
//!
//! ```text
//!  <div>intro <a>link</a><p>one</p>tail</div>      runs: "intro link" (div), "one" (p), "tail" (div)
//! ```

use super::tag::{BLOCK, Tag};
use super::text::{self, Measure};
use super::tree::Tree;

/// A run of running text needs this many letters, or fewer where it ends as a sentence.
const MIN_PROSE: u32 = 60;
const MIN_SENTENCE: u32 = 25;
/// A heading that is as long and ends as a sentence is none.
const MAX_HEADING: u32 = 80;
/// One word of cookies in so many letters is a notice about them; an article needs more words.
const LETTERS_PER_COOKIE: u32 = 150;

/// What stands around a block; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Context {
    /// The rank of the heading that it is in.
    pub(super) heading: u8,
    /// How many quotations and lists it is in.
    pub(super) quotes: u8,
    pub(super) lists: u8,
    /// The innermost nodes of these kinds: the preformatted text, the item of a list, the cell and its table.
    pub(super) preformatted: u32,
    pub(super) item: u32,
    pub(super) cell: u32,
    pub(super) table: u32,
}

impl Context {
    fn within(self, tag: Tag, node: u32) -> Context {
        match tag {
            Tag::H1 | Tag::H2 | Tag::H3 | Tag::H4 | Tag::H5 | Tag::H6 => {
                Context { heading: tag as u8 - Tag::H1 as u8 + 1, ..self }
            }
            Tag::Blockquote => Context { quotes: self.quotes.saturating_add(1), ..self },
            Tag::Ul | Tag::Ol => Context { lists: self.lists.saturating_add(1), ..self },
            Tag::Li => Context { item: node, ..self },
            Tag::Pre | Tag::Xmp | Tag::Plaintext => Context { preformatted: node, ..self },
            Tag::Td | Tag::Th => Context { cell: node, ..self },
            // A list within a cell is no part of the list around the table.
            Tag::Table => Context { table: node, cell: 0, item: 0, lists: 0, ..self },
            _ => self,
        }
    }

    /// Whether a short line is at home here: in a list, a table, a quotation or a listing.
    pub(super) fn is_of_lines(self) -> bool {
        self.quotes > 0 || self.item > 0 || self.cell > 0 || self.preformatted > 0
    }
}

/// A paragraph, a heading, an item or a cell: inline content of one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// The block that it stands in.
    pub(super) block: u32,
    pub(super) context: Context,
    /// Its nodes, in part inline elements.
    pub(super) from: u32,
    pub(super) to: u32,
    /// Its visible letters, and those of them in links; wide characters count twice.
    pub(super) letters: u32,
    pub(super) in_links: u32,
    /// Whether it ends as sentences do.
    pub(super) ends_sentence: bool,
    /// Whether its block is a `p`.
    pub(super) in_paragraph: bool,
    cookies: u32,
}

impl Run {
    /// Its letters outside links.
    pub(super) fn own(&self) -> u32 {
        self.letters - self.in_links
    }

    /// Whether it stands as a heading, and reads as one.
    pub(super) fn is_heading(&self) -> bool {
        self.context.heading > 0 && !(self.letters >= MAX_HEADING && self.ends_sentence)
    }

    /// The letters of running text in it: none where it is short, a heading, or much of it is links.
    pub(super) fn prose(&self) -> u32 {
        let is_notice = self.cookies > 1 && self.cookies * LETTERS_PER_COOKIE > self.letters;
        if self.context.heading > 0 || is_notice {
            return 0;
        }
        let own = self.own();
        let is_long = own >= MIN_PROSE && self.in_links * 2 <= self.letters;
        let is_sentence = own >= MIN_SENTENCE && self.ends_sentence && self.in_links * 3 <= self.letters;
        if is_long || is_sentence { own } else { 0 }
    }
}

/// Sums up to each node, so that a subtree's is the difference of two.
#[derive(Debug)]
pub(super) struct Sums {
    letters: Vec<u32>,
    prose: Vec<u32>,
}

impl Sums {
    /// The letters in the nodes of a range.
    pub(super) fn letters(&self, from: usize, to: usize) -> u32 {
        self.letters[to] - self.letters[from]
    }

    /// The letters of running text in the nodes of a range.
    pub(super) fn prose(&self, from: usize, to: usize) -> u32 {
        self.prose[to] - self.prose[from]
    }

    fn of(nodes: usize, runs: &[Run]) -> Sums {
        let mut sums = Sums { letters: Vec::with_capacity(nodes + 1), prose: Vec::with_capacity(nodes + 1) };
        let (mut letters, mut prose) = (0, 0);
        let mut runs = runs.iter().peekable();
        for at in 0..=nodes {
            sums.letters.push(letters);
            sums.prose.push(prose);
            if let Some(run) = runs.next_if(|run| run.from as usize == at) {
                letters += run.letters;
                prose += run.prose();
            }
        }
        sums
    }
}

/// The measures of every text of the page.
pub(super) fn measures(tree: &Tree<'_>) -> Vec<Measure> {
    tree.nodes
        .iter()
        .map(|node| if node.tag == Tag::Text { text::measure(tree.text(node)) } else { Measure::default() })
        .collect()
}

/// The runs of a page without the subtrees that `skip` names, and the sums over them.
pub(super) fn of(tree: &Tree<'_>, measures: &[Measure], skip: &[bool]) -> (Vec<Run>, Sums) {
    let mut runs = Vec::with_capacity(tree.nodes.len() / 4);
    let mut open = Collector { run: None, breaks: 0 };
    // The blocks that are open: their ends, themselves, and what stands around their content.
    let mut blocks: Vec<(usize, u32, Context)> = Vec::new();
    let mut innermost = (tree.nodes[0].end as usize, 0, Context::default());
    let mut at = 1;
    while at < tree.nodes.len() {
        while innermost.0 <= at {
            let Some(outer) = blocks.pop() else { break };
            innermost = outer;
            open.close(&mut runs);
        }
        let node = &tree.nodes[at];
        if skip[at] {
            if node.tag.is(BLOCK) {
                open.close(&mut runs);
            }
            at = node.end as usize;
            continue;
        }
        let (_, block, context) = innermost;
        if node.tag == Tag::Text {
            open.add(at as u32, block, context, &measures[at], node.in_link);
            if let Some(run) = &mut open.run {
                run.in_paragraph = tree.nodes[block as usize].tag == Tag::P;
            }
        } else if node.tag == Tag::Br {
            open.line_break(&mut runs);
        } else if node.tag.is(BLOCK) {
            open.close(&mut runs);
            blocks.push(innermost);
            innermost = (node.end as usize, at as u32, context.within(node.tag, at as u32));
        }
        at += 1;
    }
    open.close(&mut runs);
    let sums = Sums::of(tree.nodes.len(), &runs);
    (runs, sums)
}

/// The run that is being collected.
struct Collector {
    run: Option<Run>,
    /// Line breaks since its last letter.
    breaks: u32,
}

impl Collector {
    fn add(&mut self, at: u32, block: u32, context: Context, measure: &Measure, in_link: bool) {
        if measure.letters == 0 && self.run.is_none() {
            return;
        }
        let empty = Run {
            block,
            context,
            from: at,
            to: at,
            letters: 0,
            in_links: 0,
            ends_sentence: false,
            in_paragraph: false,
            cookies: 0,
        };
        let run = self.run.get_or_insert(empty);
        run.to = at + 1;
        if measure.letters > 0 {
            run.letters += measure.letters;
            run.in_links += if in_link { measure.letters } else { 0 };
            run.cookies += measure.cookies;
            run.ends_sentence = measure.ends_sentence;
            self.breaks = 0;
        }
    }

    /// Two line breaks with nothing between end a paragraph.
    fn line_break(&mut self, runs: &mut Vec<Run>) {
        self.breaks += 1;
        if self.breaks >= 2 && self.run.is_some_and(|run| run.context.preformatted == 0) {
            self.close(runs);
        }
    }

    fn close(&mut self, runs: &mut Vec<Run>) {
        self.breaks = 0;
        runs.extend(self.run.take());
    }
}
