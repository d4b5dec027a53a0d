//! Which places a process may use: what a job names is checked here before it is opened.
//!
//! Local paths are compared after symbolic links and `..` are resolved, URLs by scheme, host and whole segments of the
//! path. The comparison is with what the store would open, not with the text that the job gave, so that no two readings
//! of one text can differ. A link that somebody swaps between the check and the opening is not seen: whoever can do that
//! has the rights of this process's user already.

use std::io;
use std::path::{Path, PathBuf};

use super::local::LocalStore;
use super::remote::Locator;
use super::{OpenOptions, RelativePath, Store};
use crate::Error;
use crate::error::redact;

/// The word that allows everything.
pub const ANY_ROOT: &str = "any";

/// Directories and URL prefixes that may be read and written, with all below them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedRoots {
    /// None: every place.
    roots: Option<Vec<Root>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Root {
    /// As it was given, for messages.
    name: String,
    place: Place,
}

/// Something that a store would open.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// Absolute; symbolic links resolved as far as the path exists.
    Local(PathBuf),
    Remote(Locator),
}

impl Place {
    fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Local(root), Self::Local(path)) => path.starts_with(root),
            (Self::Remote(root), Self::Remote(locator)) => root.contains(locator),
            (Self::Local(_), Self::Remote(_)) | (Self::Remote(_), Self::Local(_)) => false,
        }
    }
}

impl AllowedRoots {
    /// Every place: for processes that work for their own user alone.
    pub fn any() -> Self {
        Self { roots: None }
    }

    /// These paths and URLs; `any` among them allows every place, and an empty list none.
    pub fn new<S: AsRef<str>>(roots: &[S]) -> Result<Self, Error> {
        if roots.iter().any(|root| root.as_ref() == ANY_ROOT) {
            return Ok(Self::any());
        }
        let root = |name: &S| {
            let name = name.as_ref();
            Ok(Root { name: redact(name), place: place_of_url(name)? })
        };
        Ok(Self { roots: Some(roots.iter().map(root).collect::<Result<_, Error>>()?) })
    }

    /// The roots as they can be given to [`AllowedRoots::new`] in another process.
    pub fn names(&self) -> Vec<String> {
        match &self.roots {
            None => vec![ANY_ROOT.to_owned()],
            Some(roots) => roots.iter().map(|root| root.name.clone()).collect(),
        }
    }

    /// Refuses a path or URL that lies outside.
    pub fn check(&self, url: &str) -> Result<(), Error> {
        match &self.roots {
            None => Ok(()),
            Some(roots) => self.admit(roots, url, &place_of_url(url)?),
        }
    }

    /// Opens a store whose root is allowed.
    pub fn open(&self, url: &str) -> Result<Store, Error> {
        self.open_with(url, OpenOptions::default())
    }

    /// Opens a store whose root is allowed, with options.
    pub fn open_with(&self, url: &str, options: OpenOptions) -> Result<Store, Error> {
        self.check(url)?;
        Store::open_with(url, options)
    }

    /// Opens the directory of an allowed file, as [`Store::locate`] does.
    pub fn locate(&self, url: &str, options: OpenOptions) -> Result<(Store, RelativePath), Error> {
        let (directory, name) = Store::split(url)?;
        if let Some(roots) = &self.roots {
            let place = match Locator::of(directory)? {
                None => Place::Local(resolve(&LocalStore::open(directory)?.resolve(&name))?),
                Some(locator) => Place::Remote(locator.join(&name)),
            };
            self.admit(roots, url, &place)?;
        }
        Ok((Store::open_with(directory, options)?, name))
    }

    fn admit(&self, roots: &[Root], url: &str, place: &Place) -> Result<(), Error> {
        if roots.iter().any(|root| root.place.contains(place)) {
            return Ok(());
        }
        Err(Error::OutsideRoots { path: redact(url), roots: self.described() })
    }

    fn described(&self) -> String {
        let names: Vec<String> = self.names().iter().map(|name| format!("`{name}`")).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

fn place_of_url(url: &str) -> Result<Place, Error> {
    Ok(match Locator::of(url)? {
        None => Place::Local(resolve(&LocalStore::open(url)?.resolve(&RelativePath::root()))?),
        Some(locator) => Place::Remote(locator),
    })
}

/// Follows the symbolic links of an absolute path as far as it exists; what does not exist yet is taken as it is written.
fn resolve(path: &Path) -> Result<PathBuf, Error> {
    let failed = |error| Error::io(path.to_string_lossy(), error);
    let mut existing = path;
    let mut missing = Vec::new();
    let mut resolved = loop {
        match existing.canonicalize() {
            Ok(resolved) => break resolved,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            // A link to nothing could come to point anywhere.
            Err(error) if existing.is_symlink() => return Err(failed(error)),
            Err(error) => match (existing.parent(), existing.file_name()) {
                (Some(parent), Some(name)) => {
                    missing.push(name);
                    existing = parent;
                }
                // It ends in `..`, below something that is not there.
                _ => return Err(failed(error)),
            },
        }
    };
    resolved.extend(missing.iter().rev());
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
        match result.expect_err("it lies outside") {
            error @ Error::OutsideRoots { .. } => error.to_string(),
            other => panic!("another error: {other}"),
        }
    }

    #[test]
    fn only_what_lies_below_a_root_is_opened() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |below: &str| directory.path().join(below).to_string_lossy().into_owned();
        for file in ["data/in/a.txt", "data-2/a.txt", "secret.txt"] {
            std::fs::create_dir_all(directory.path().join(file).parent().expect("one")).expect("made");
            std::fs::write(at(file), "text").expect("a file");
        }
        let roots = AllowedRoots::new(&[at("data")]).expect("a root");
        let locate = |path: &str| roots.locate(&at(path), OpenOptions::default()).map(drop);
        locate("data/in/a.txt").expect("below the root");
        locate("data/out/new.txt").expect("it need not exist");
        locate("data/in/../in/a.txt").expect("`..` that stays below");
        roots.open(&format!("file://{}", at("data/out"))).expect("the same as a URL");
        roots.check(&at("data")).expect("the root itself");
        for outside in ["secret.txt", "data-2/a.txt", "data/../secret.txt", "data/in/../../secret.txt"] {
            let message = refused(locate(outside));
            assert!(message.contains(outside) && message.contains(&at("data")), "{message}");
        }
        refused(roots.check(&at("")));
        refused(roots.check("s3://bucket/data"));
        refused(AllowedRoots::new::<&str>(&[]).expect("none").check(&at("data")));
        assert!(locate("data/nothing/../../secret.txt").is_err(), "`..` below what does not exist");
        AllowedRoots::any().check("/etc/passwd").expect("any");
        assert_eq!(AllowedRoots::new(&["/x", "any"]).expect("any"), AllowedRoots::any());
    }

    #[cfg(unix)]
    #[test]
    fn symbolic_links_are_followed_before_the_comparison() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |below: &str| directory.path().join(below);
        std::fs::create_dir_all(at("data")).expect("made");
        std::fs::create_dir_all(at("elsewhere")).expect("made");
        std::fs::write(at("elsewhere/secret.txt"), "text").expect("a file");
        symlink(at("elsewhere/secret.txt"), at("data/link.txt")).expect("a link");
        symlink(at("elsewhere"), at("data/directory")).expect("a link");
        symlink(at("elsewhere/nothing"), at("data/dangling")).expect("a link");
        symlink(at("data"), at("alias")).expect("a link");
        let roots = AllowedRoots::new(&[at("data").to_str().expect("UTF-8")]).expect("a root");
        let check = |below: &str| roots.check(at(below).to_str().expect("UTF-8"));
        for outside in ["data/link.txt", "data/directory/secret.txt", "data/directory/new/output"] {
            refused(check(outside));
        }
        let open = roots.locate(at("data/link.txt").to_str().expect("UTF-8"), OpenOptions::default());
        refused(open);
        assert!(check("data/dangling").is_err() && check("data/dangling/below").is_err());
        check("alias/new.txt").expect("a link from outside that leads in");
    }

    #[test]
    fn urls_are_compared_by_whole_segments() {
        let roots = AllowedRoots::new(&["s3://bucket/team", "https://data.example/crawl"]).expect("roots");
        for inside in [
            "s3://bucket/team",
            "s3://bucket/team/",
            "s3a://bucket/team/run",
            "s3://bucket/team/../team/run",
            "https://data.example:443/crawl/2026/x.warc.gz",
        ] {
            roots.check(inside).expect(inside);
        }
        for outside in [
            "s3://bucket/team-2/run",
            "s3://bucket/other",
            "s3://bucket-2/team/run",
            "s3://bucket/team/../other",
            "s3://bucket/team/%2e%2e/other",
            "gs://bucket/team/run",
            "http://data.example/crawl/x",
            "https://data.example:8443/crawl/x",
            "/team/run",
        ] {
            refused(roots.check(outside));
        }
        let hidden = roots.locate("https://data.example/x?/crawl/../crawl/y", OpenOptions::default());
        assert!(hidden.is_err());
    }
}
