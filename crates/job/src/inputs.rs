//! The pure part of finding inputs: their root, their names below it, their order. Listing stores is done elsewhere.

use crate::task::InputFile;

/// Characters that make a path segment a glob.
const WILDCARDS: [char; 4] = ['*', '?', '[', '{'];

/// Whether a path is a glob.
pub fn is_glob(path: &str) -> bool {
    split_at_wildcard(path).1.is_some()
}

/// A path as a pattern that stands for it alone: each special character becomes a class of one, `[` becomes `[[]`.
pub fn escape(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for c in path.chars() {
        if WILDCARDS.contains(&c) || matches!(c, ']' | '}') {
            pattern.extend(['[', c, ']']);
        } else {
            pattern.push(c);
        }
    }
    pattern
}

/// The text before a pattern's first wildcard, without the marks of [`escape`]; and the wildcard's place, if there is one.
fn split_at_wildcard(pattern: &str) -> (String, Option<usize>) {
    let mut before = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let mut ahead = rest.chars();
        let next: [Option<char>; 3] = std::array::from_fn(|_| ahead.next());
        let taken = match next {
            [Some('['), Some(special), Some(']')]
                if WILDCARDS.contains(&special) || matches!(special, ']' | '}') =>
            {
                before.push(special);
                3
            }
            _ if WILDCARDS.contains(&c) => return (before, Some(pattern.len() - rest.len())),
            _ => {
                before.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    (before, None)
}

/// The path of a pattern without wildcards, as the file system has it; of another, the part before its wildcards.
pub fn literal(pattern: &str) -> String {
    split_at_wildcard(pattern).0
}

/// The directory of one pattern: all that stands before its first wildcard segment, or before its last segment.
/// Ends without `/`, unless it is the root of everything.
fn directory_of(pattern: &str) -> String {
    let mut before = literal(pattern);
    match before.rfind('/') {
        Some(0) => before.truncate(1),
        Some(at) => before.truncate(at),
        None => before.clear(),
    }
    before
}

/// The segments of a glob below its own directory: what a listing has to match, one after the other.
///
/// A `/` inside `{…}` is no bound, so such a pattern has fewer segments than paths that match it have: it and all that
/// follows is one segment, and stands for any depth.
pub fn segments(pattern: &str) -> Vec<&str> {
    let wildcard = split_at_wildcard(pattern).1.unwrap_or(pattern.len());
    let below = &pattern[pattern[..wildcard].rfind('/').map_or(0, |at| at + 1)..];
    let mut segments = Vec::new();
    let mut rest = below;
    while let Some((segment, after)) = rest.split_once('/') {
        if segment.contains('{') {
            break;
        }
        segments.push(segment);
        rest = after;
    }
    segments.push(rest);
    segments
}

/// What a run leaves in its output, by the first segment of its name.
const LEFT_BY_RUNS: [&str; 9] = [
    ".orchestrator",
    "checkpoints",
    "job.yaml",
    "metrics.jsonl",
    "model",
    "report.html",
    "report.json",
    "stages",
    "tokens",
];

/// Whether `url` is, or lies in, what a run with this output leaves there: no input of the same job.
pub fn is_left_by_run(output: &str, url: &str) -> bool {
    let plain = |url: &str| url.strip_prefix("file://").unwrap_or(url).trim_end_matches('/').to_owned();
    let below =
        plain(url).strip_prefix(&plain(output)).and_then(|below| below.strip_prefix('/')).map(str::to_owned);
    let first = below.as_deref().map(|below| below.split('/').next().unwrap_or_default());
    first.is_some_and(|first| LEFT_BY_RUNS.contains(&first))
}

/// The deepest directory that all patterns share, wildcards aside: what `source` is relative to by default.
///
/// Patterns are absolute paths or URLs. Without a common directory (another scheme, another bucket) it is empty and
/// sources are whole URLs.
pub fn common_root<'a>(patterns: impl IntoIterator<Item = &'a str>) -> String {
    let mut patterns = patterns.into_iter().map(directory_of);
    let Some(mut root) = patterns.next() else { return String::new() };
    let mut all_absolute = root.starts_with('/');
    for directory in patterns {
        all_absolute &= directory.starts_with('/');
        let shared = root.split('/').zip(directory.split('/')).take_while(|(a, b)| a == b);
        let length: usize = shared.map(|(segment, _)| segment.len() + 1).sum();
        root.truncate(length.saturating_sub(1));
    }
    // What remains of `s3://a/…` and `s3://b/…` is `s3:/`, which is no directory.
    if root.ends_with(":/") || root.ends_with(':') {
        return String::new();
    }
    if root.is_empty() && all_absolute { "/".to_owned() } else { root }
}

/// A URL's name below `root`; the whole of it when it lies elsewhere.
pub fn source_below(root: &str, url: &str) -> String {
    let root = root.trim_end_matches('/');
    match url.strip_prefix(root) {
        Some(rest) if rest.starts_with('/') => rest.trim_start_matches('/').to_owned(),
        _ => url.to_owned(),
    }
}

/// Puts inputs in the order that documents have: bytewise by source. A file that several patterns match is read once.
pub fn arrange(mut inputs: Vec<InputFile>) -> Vec<InputFile> {
    inputs.sort_by(|a, b| {
        (a.source.as_bytes(), a.url.as_bytes()).cmp(&(b.source.as_bytes(), b.url.as_bytes()))
    });
    inputs.dedup_by(|a, b| a.source == b.source && a.url == b.url);
    inputs
}

/// Two files that would give the same document ids, if there are any; `inputs` are arranged.
pub fn first_clash(inputs: &[InputFile]) -> Option<(&InputFile, &InputFile)> {
    inputs.windows(2).find(|pair| pair[0].source == pair[1].source).map(|pair| (&pair[0], &pair[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_deepest_common_directory_without_wildcards() {
        for (patterns, root) in [
            (&["/data/corpus/**/*.warc.gz"][..], "/data/corpus"),
            (&["/data/a/x.jsonl", "/data/a/y.jsonl"], "/data/a"),
            (&["/data/a/x.jsonl", "/data/ab/y.jsonl"], "/data"),
            (&["/data/a/*.md", "/data/a/b/*.md"], "/data/a"),
            (&["/data/b/c/*.md", "/data/b/*.md"], "/data/b"),
            (&["/a/x", "/b/y"], "/"),
            (&["/*.md"], "/"),
            (&["s3://bucket/a/*.gz", "s3://bucket/b/*.gz"], "s3://bucket"),
            (&["s3://one/a/*.gz", "s3://two/b/*.gz"], ""),
            (&["/data/x", "s3://bucket/y"], ""),
            (&["/registry/src/*/*/README.md"], "/registry/src"),
            (&["/data/ver[12]/x"], "/data"),
            (&["/data/dir [[]v2[]]/*.md"], "/data/dir [v2]"),
            (&[], ""),
        ] {
            assert_eq!(common_root(patterns.iter().copied()), root, "{patterns:?}");
        }
    }

    #[test]
    fn an_escaped_path_stands_for_itself() {
        for path in ["/a/b", "/dir [v2]/what?/{x}/*é"] {
            let pattern = escape(path);
            assert!(!is_glob(&pattern), "{pattern}");
            assert_eq!(literal(&pattern), path);
        }
        assert!(is_glob("/a/[ab]") && is_glob("/a/[*]/?"));
    }

    #[test]
    fn a_listing_goes_no_deeper_than_its_pattern() {
        assert_eq!(segments("/a/b/*.md"), ["*.md"]);
        assert_eq!(segments("/a/x*/b/**/*.md"), ["x*", "b", "**", "*.md"]);
        assert_eq!(segments("/a/x*/{b,c/d}/*.md"), ["x*", "{b,c/d}/*.md"]);
        assert_eq!(segments("/a/[[]b/*"), ["*"]);
    }

    #[test]
    fn what_a_run_leaves_is_no_input() {
        for (output, url, left) in [
            ("/w/out", "/w/out/.orchestrator/owner.json", true),
            ("/w/out/", "/w/out/stages/00-read/manifest.json", true),
            ("file:///w/out", "/w/out/report.json", true),
            ("/w", "/w/a.json", false),
            ("/w", "/w/corpus/stages/a.json", false),
            ("/w/out", "/w/output/stages/a.json", false),
        ] {
            assert_eq!(is_left_by_run(output, url), left, "{output} {url}");
        }
    }

    #[test]
    fn sources_do_not_know_where_the_corpus_lies() {
        assert_eq!(source_below("/data", "/data/a/b.md"), "a/b.md");
        assert_eq!(source_below("/", "/a/b.md"), "a/b.md");
        assert_eq!(source_below("/data", "/database/b.md"), "/database/b.md");
        assert_eq!(source_below("", "s3://x/y"), "s3://x/y");
    }

    #[test]
    fn inputs_are_sorted_by_bytes_and_read_once() {
        let input = |source: &str| InputFile {
            url: format!("/{source}"),
            source: source.into(),
            bytes: 1,
            stamp: "t".into(),
        };
        let arranged = arrange(vec![input("b"), input("a/z"), input("B"), input("b"), input("a")]);
        let sources: Vec<&str> = arranged.iter().map(|input| input.source.as_str()).collect();
        assert_eq!(sources, ["B", "a", "a/z", "b"]);
        assert!(first_clash(&arranged).is_none());
    }
}
