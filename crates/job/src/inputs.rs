//! The pure part of finding inputs: their root, their names below it, their order. Listing stores is done elsewhere.

use crate::task::InputFile;

/// Characters that make a path segment a glob.
const WILDCARDS: [char; 4] = ['*', '?', '[', '{'];

/// Whether a path is a glob.
pub fn is_glob(path: &str) -> bool {
    path.contains(WILDCARDS)
}

/// The directory of one pattern: all that stands before its first wildcard segment, or before its last segment.
/// Ends without `/`, unless it is the root of everything.
fn directory_of(pattern: &str) -> &str {
    let before_wildcard = pattern.find(WILDCARDS).map_or(pattern, |at| &pattern[..at]);
    match before_wildcard.rfind('/') {
        Some(0) => "/",
        Some(at) => &pattern[..at],
        None => "",
    }
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
        root = &root[..length.saturating_sub(1).min(root.len())];
    }
    // What remains of `s3://a/…` and `s3://b/…` is `s3:/`, which is no directory.
    if root.ends_with(":/") || root.ends_with(':') {
        return String::new();
    }
    if root.is_empty() && all_absolute { "/".to_owned() } else { root.to_owned() }
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
            (&[], ""),
        ] {
            assert_eq!(common_root(patterns.iter().copied()), root, "{patterns:?}");
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
