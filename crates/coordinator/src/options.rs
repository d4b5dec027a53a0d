//! What an operator chooses.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Options of a coordinator.
#[derive(Clone, Debug)]
pub struct CoordinatorOptions {
    /// The SQLite file with the journal; made if absent.
    pub state: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// A lease not renewed for so long is lost.
    pub lease_ms: u64,
    /// How often workers should say that they live.
    pub heartbeat_ms: u64,
    /// How long a gang that lost a rank waits for its full world before it goes on with a smaller one.
    pub gang_regroup_ms: u64,
    /// A generation whose ranks have not all joined after so long ends.
    pub gang_join_ms: u64,
    /// A generation in which no rank gets on for so long ends, though its workers live.
    pub hang_ms: u64,
    /// A task that runs for more than this share of what the others of its phase took by size, in percent, gets a second
    /// attempt on a worker that stands idle. 0: never.
    pub straggler_percent: u64,
    /// Whether workers and whoever watches the job are in this very process: then a restart voids all leases at once, and why
    /// a job failed is said by who watches and not in the log of this process too.
    pub embedded: bool,
    /// Every call must carry this as its bearer token.
    pub token: Option<String>,
    /// Encrypts the wire.
    pub tls: Option<TlsOptions>,
    /// Listens on any address without TLS or token.
    pub insecure: bool,
    /// Expansions and publications that work at a time, of all jobs; those that wait for storage do not count.
    pub publications: usize,
}

/// Certificates, as PEM text.
#[derive(Clone)]
pub struct TlsOptions {
    /// The server's certificate chain.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// Where set, clients must present a certificate that this authority signed.
    pub client_authority: Option<String>,
}

impl std::fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsOptions").finish_non_exhaustive() // the key never reaches a log
    }
}

impl CoordinatorOptions {
    /// Options for a state file, everything else by default.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            lease_ms: 15_000,
            heartbeat_ms: 2_000,
            gang_regroup_ms: 10_000,
            gang_join_ms: 60_000,
            hang_ms: 600_000,
            straggler_percent: 200,
            embedded: false,
            token: None,
            tls: None,
            insecure: false,
            publications: 16,
        }
    }
}
