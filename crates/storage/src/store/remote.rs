//! Object stores: S3, Google Cloud Storage, Azure, and plain HTTPS for reading.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tokio::runtime::Runtime;

use super::download::{Download, READ_CHUNK, RemoteReader};
use super::pace::{PacedConnector, Paces};
use super::{Entry, OpenOptions, RelativePath};
use crate::Error;

/// A web server that sends nothing for so long is gone. There is no bound for a whole answer: one without ranges can be as
/// long as the file, and is read as fast as its records are.
const WEB_SILENCE: Duration = Duration::from_secs(30);

pub(super) struct RemoteStore {
    store: Arc<dyn ObjectStore>,
    /// Where it lies, for messages: without a slash at the end and without credentials.
    url: String,
    prefix: Path,
    background: Arc<Background>,
}

/// The runtime of a store and of the readers that outlive it.
pub(super) struct Background {
    /// Taken only by `drop`.
    runtime: Option<Runtime>,
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background(); // a plain drop blocks, and panics inside another runtime
        }
    }
}

/// Where in which object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Locator {
    /// Scheme and host: `s3://bucket`.
    origin: String,
    path: Path,
}

impl Locator {
    /// Reads a URL; none where it names a place on this machine.
    pub(super) fn of(url: &str) -> Result<Option<Self>, Error> {
        if matches!(url.split_once("://"), None | Some(("file", _))) {
            return Ok(None);
        }
        let parsed = parse(url)?;
        Ok(Some(Self { origin: origin(&parsed), path: prefix(url, &parsed)? }))
    }

    pub(super) fn join(&self, path: &RelativePath) -> Self {
        Self { origin: self.origin.clone(), path: join(&self.path, path) }
    }

    /// Whether `other` is this place or below it.
    pub(super) fn contains(&self, other: &Self) -> bool {
        self.origin == other.origin && other.path.prefix_matches(&self.path)
    }
}

/// Scheme and host: `s3://bucket`.
fn origin(url: &url::Url) -> String {
    let scheme = if url.scheme() == "s3a" { "s3" } else { url.scheme() };
    format!("{scheme}://{}", url.authority())
}

/// What a store is called before others. Credentials may stand before the host of a web server, and nothing else may.
fn told_origin(url: &url::Url) -> String {
    match url.scheme() {
        scheme @ ("http" | "https") => {
            format!("{scheme}://{}", &url[url::Position::BeforeHost..url::Position::AfterPort])
        }
        _ => origin(url),
    }
}

fn invalid(url: &str, reason: &str) -> Error {
    Error::InvalidUrl { url: crate::error::redact(url), reason: crate::error::redact(reason) }
}

fn parse(url: &str) -> Result<url::Url, Error> {
    let parsed = url::Url::parse(url).map_err(|error| invalid(url, &error.to_string()))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(invalid(url, "credentials belong in the environment, not in the URL"));
    }
    Ok(parsed)
}

fn prefix(url: &str, parsed: &url::Url) -> Result<Path, Error> {
    Path::from_url_path(parsed.path()).map_err(|error| invalid(url, &error.to_string()))
}

fn join(prefix: &Path, path: &RelativePath) -> Path {
    prefix.parts().chain(Path::from(path.as_str()).parts()).map(|part| part.as_ref().to_owned()).collect()
}

impl RemoteStore {
    pub(super) fn open(url: &str, options: OpenOptions) -> Result<Self, Error> {
        let invalid = |reason: String| invalid(url, &reason);
        let parsed = parse(url)?;
        // The HTTP client is built without a cryptography provider, so that no aws-lc is compiled. A second install fails
        // harmlessly: the first one stands.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |error: object_store::Error| invalid(error.to_string());
        let paced = || PacedConnector(Paces::of_process().gate(&told_origin(&parsed)));
        let store: Arc<dyn ObjectStore> = match parsed.scheme() {
            "s3" | "s3a" => Arc::new(
                anonymous(
                    AmazonS3Builder::from_env().with_url(url),
                    options,
                    AmazonS3Builder::with_skip_signature,
                )
                .with_http_connector(paced())
                .build()
                .map_err(failed)?,
            ),
            "gs" => Arc::new(
                anonymous(
                    GoogleCloudStorageBuilder::from_env().with_url(url),
                    options,
                    GoogleCloudStorageBuilder::with_skip_signature,
                )
                .with_http_connector(paced())
                .build()
                .map_err(failed)?,
            ),
            "az" | "azure" | "abfs" | "abfss" | "adl" => Arc::new(
                anonymous(
                    MicrosoftAzureBuilder::from_env().with_url(url),
                    options,
                    MicrosoftAzureBuilder::with_skip_signature,
                )
                .with_http_connector(paced())
                .build()
                .map_err(failed)?,
            ),
            "https" | "http" => {
                // Without TLS anybody on the way can change what a job reads: only this machine is asked so.
                let is_loopback = match parsed.host() {
                    Some(url::Host::Domain(name)) => name == "localhost",
                    Some(url::Host::Ipv4(address)) => address.is_loopback(),
                    Some(url::Host::Ipv6(address)) => address.is_loopback(),
                    None => false,
                };
                if parsed.scheme() == "http" && !is_loopback {
                    return Err(invalid("http:// is for this machine alone: use https://".to_owned()));
                }
                let client = ClientOptions::new()
                    .with_allow_http(is_loopback)
                    .with_timeout_disabled()
                    .with_read_timeout(WEB_SILENCE);
                let base = &parsed[..url::Position::BeforePath];
                Arc::new(
                    HttpBuilder::new()
                        .with_url(base)
                        .with_client_options(client)
                        .with_http_connector(paced())
                        .build()
                        .map_err(failed)?,
                )
            }
            other => return Err(invalid(format!("the scheme `{other}` is unknown"))),
        };
        let prefix = prefix(url, &parsed)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("storage")
            .enable_all()
            .build()
            .map_err(|error| Error::io(crate::error::redact(url), error))?;
        let url = crate::error::redact(url.trim_end_matches('/'));
        Ok(Self { store, url, prefix, background: Arc::new(Background { runtime: Some(runtime) }) })
    }

    /// A path as messages name it.
    pub(super) fn name(&self, path: &RelativePath) -> String {
        format!("{}/{path}", self.url)
    }

    /// Whether it is a plain web server, which promises less than object stores do.
    fn is_web(&self) -> bool {
        self.url.starts_with("https://") || self.url.starts_with("http://")
    }

    fn runtime(&self) -> &Runtime {
        self.background.runtime.as_ref().expect("the runtime lives until it is dropped")
    }

    /// Runs a future on the store's runtime and waits for it on this thread, wherever that is.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        path: &RelativePath,
        future: impl Future<Output = Result<T, object_store::Error>> + Send + 'static,
    ) -> Result<T, Error> {
        match futures::executor::block_on(self.runtime().spawn(future)) {
            Ok(result) => result.map_err(|error| Error::remote(self.name(path), &error)),
            Err(error) => Err(Error::Unavailable { path: self.name(path), detail: error.to_string() }),
        }
    }

    pub(super) fn full(&self, path: &RelativePath) -> Path {
        join(&self.prefix, path)
    }

    pub(super) fn list(&self, prefix: &RelativePath) -> Result<Vec<Entry>, Error> {
        let (store, full) = (Arc::clone(&self.store), self.full(prefix));
        let found =
            self.wait(prefix, async move { store.list(Some(&full)).try_collect::<Vec<_>>().await })?;
        let mut entries = Vec::with_capacity(found.len());
        for object in found {
            let Some(below) = object.location.prefix_match(&self.prefix) else { continue };
            let path: Path = below.collect();
            let Ok(path) = RelativePath::new(path.as_ref()) else {
                tracing::warn!(name = %object.location, "passed by an object whose name is no relative path");
                continue;
            };
            entries.push(entry(path, &object));
        }
        Ok(entries)
    }

    pub(super) fn stat(&self, path: &RelativePath) -> Result<Entry, Error> {
        let (store, full) = (Arc::clone(&self.store), self.full(path));
        let object = self.wait(path, async move { store.head(&full).await })?;
        Ok(entry(path.clone(), &object))
    }

    pub(super) fn open_reader(
        &self,
        path: &RelativePath,
        range: Option<Range<u64>>,
    ) -> Result<Box<dyn Read + Send>, Error> {
        let (store, full) = (Arc::clone(&self.store), self.full(path));
        let object = self.wait(path, {
            let (store, full) = (Arc::clone(&store), full.clone());
            async move { store.head(&full).await }
        })?;
        let range = range.unwrap_or(0..object.size);
        let range = range.start..range.end.min(object.size);
        let length = range.end.saturating_sub(range.start);
        // Not every web server knows ranges, and a small file needs none.
        let in_chunks = !self.is_web() || range != (0..object.size) || object.size > READ_CHUNK;
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let download = Download { store, location: full, object };
        self.runtime().spawn(download.send(range, in_chunks, sender));
        Ok(Box::new(RemoteReader::new(self.name(path), length, receiver, Arc::clone(&self.background))))
    }

    pub(super) fn put(&self, path: &RelativePath, bytes: Vec<u8>, mode: PutMode) -> Result<(), Error> {
        let (store, full) = (Arc::clone(&self.store), self.full(path));
        let options = PutOptions { mode, ..PutOptions::default() };
        self.wait(path, async move { store.put_opts(&full, bytes.into(), options).await })?;
        Ok(())
    }

    pub(super) fn start_upload(&self, path: &RelativePath) -> Result<Box<dyn MultipartUpload>, Error> {
        let (store, full) = (Arc::clone(&self.store), self.full(path));
        self.wait(path, async move { store.put_multipart(&full).await })
    }

    /// Lets a future finish on its own.
    pub(super) fn detach(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.runtime().spawn(future);
    }

    pub(super) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime().spawn(future)
    }

    pub(super) fn rename(&self, from: &RelativePath, to: &RelativePath) -> Result<(), Error> {
        let (store, source, target) = (Arc::clone(&self.store), self.full(from), self.full(to));
        self.wait(from, async move {
            let before = store.head(&source).await?;
            store.copy(&source, &target).await?;
            let after = store.head(&target).await?;
            if before.size != after.size {
                let detail = format!("the copy has {} bytes, its source {}", after.size, before.size);
                return Err(object_store::Error::Generic { store: "copy", source: detail.into() });
            }
            store.delete(&source).await
        })
    }

    pub(super) fn delete(&self, path: &RelativePath) -> Result<(), Error> {
        let (store, full) = (Arc::clone(&self.store), self.full(path));
        self.wait(path, async move { store.delete(&full).await })
    }

    pub(super) fn delete_prefix(&self, prefix: &RelativePath) -> Result<(), Error> {
        let (store, full) = (Arc::clone(&self.store), self.full(prefix));
        self.wait(prefix, async move {
            let locations = store.list(Some(&full)).map_ok(|object| object.location).boxed();
            let mut deleted = store.delete_stream(locations);
            while let Some(result) = deleted.next().await {
                match result {
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }
}

fn entry(path: RelativePath, object: &object_store::ObjectMeta) -> Entry {
    let stamp = object.e_tag.clone().unwrap_or_else(|| object.last_modified.to_rfc3339());
    Entry { path, bytes: object.size, stamp }
}

/// Leaves signatures out where the caller wants that; otherwise the environment decides, as with the cloud's own tools.
fn anonymous<B>(builder: B, options: OpenOptions, skip_signature: impl FnOnce(B, bool) -> B) -> B {
    if options.anonymous { skip_signature(builder, true) } else { builder }
}
