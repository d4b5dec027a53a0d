//! Why a coordinator does not start, or stopped.

use std::net::SocketAddr;

use crate::journal::JournalError;

/// A coordinator could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The state cannot be opened, read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The address is taken or not ours.
    #[error("cannot listen on `{address}`")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Others could reach an unprotected coordinator.
    #[error(
        "`{0}` is reachable from other machines: expected TLS and a token (`--certificate`, `--key`, \
         `--token-file`; `orchestrator certs` makes them), or `--insecure` to accept the risk, or a loopback address"
    )]
    Unprotected(SocketAddr),
    /// The bearer token cannot travel in a header.
    #[error(
        "the token holds characters that no header can carry: expected printable ASCII without spaces, at least 16 characters"
    )]
    BadToken,
    /// The bearer token could be guessed.
    #[error("the token has {length} characters: expected at least {least}")]
    ShortToken {
        /// How many it has.
        length: usize,
        /// How many it needs.
        least: usize,
    },
    /// The certificates or the transport are wrong.
    #[error("the server cannot run")]
    Transport(#[from] tonic::transport::Error),
    /// The reflection service cannot read the protocol's descriptors.
    #[error("the protocol's descriptors cannot be served: {0}")]
    Reflection(String),
    /// A part of the coordinator ended before it was told to.
    #[error("the coordinator stopped: {0}")]
    Stopped(String),
}
