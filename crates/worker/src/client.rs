//! The connection to the coordinator.

use std::time::Duration;

use orchestrator_proto::MESSAGE_SIZE_MAX;
use orchestrator_proto::v1::workers_client::WorkersClient;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::options::WorkerOptions;

/// A call that takes longer than this is lost: the peer is gone or the network is cut.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

pub(crate) type Client = WorkersClient<InterceptedService<Channel, BearerToken>>;

/// Adds the token that proves that this worker may speak to the coordinator.
#[derive(Clone)]
pub(crate) struct BearerToken(Option<MetadataValue<Ascii>>);

impl Interceptor for BearerToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// The address or a credential cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not an address.
    #[error("`{address}` is no coordinator address: expected `http://host:port` or `https://host:port`")]
    Address {
        /// What was given.
        address: String,
    },
    /// The certificate authority cannot be used.
    #[error("the certificate authority for `{address}` cannot be used")]
    Tls {
        /// The coordinator.
        address: String,
        /// The cause.
        #[source]
        source: tonic::transport::Error,
    },
    /// TLS, and nobody whose certificates are trusted.
    #[error(
        "`{address}` is reached over TLS: give the certificate authority of its certificate with `--authority` (`ca.crt` of \
         `orchestrator certs`)"
    )]
    NoAuthority {
        /// The coordinator.
        address: String,
    },
    /// A token with characters that no header can carry.
    #[error("the token holds characters that a header cannot carry: expected printable ASCII")]
    Token,
}

/// Prepares a client; it connects at the first call and again whenever the connection is lost.
pub(crate) fn client(options: &WorkerOptions) -> Result<Client, ConnectError> {
    let address = || options.coordinator.clone();
    let mut endpoint = Endpoint::from_shared(options.coordinator.clone())
        .map_err(|_| ConnectError::Address { address: address() })?
        .timeout(CALL_TIMEOUT)
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10));
    if options.authority.is_none() && endpoint.uri().scheme_str() == Some("https") {
        return Err(ConnectError::NoAuthority { address: address() });
    }
    if let Some(authority) = &options.authority {
        endpoint = endpoint
            .tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority)))
            .map_err(|source| ConnectError::Tls { address: address(), source })?;
    }
    let token = match &options.token {
        Some(token) => Some(format!("Bearer {token}").parse().map_err(|_| ConnectError::Token)?),
        None => None,
    };
    Ok(WorkersClient::with_interceptor(endpoint.connect_lazy(), BearerToken(token))
        .max_decoding_message_size(MESSAGE_SIZE_MAX)
        .max_encoding_message_size(MESSAGE_SIZE_MAX))
}

/// What a failed connection most likely means, where its words speak to programmers: one side speaks TLS and the other does
/// not. Empty where nothing is known beyond the words.
pub fn advice(error: &(dyn std::error::Error + 'static)) -> &'static str {
    let said = crate::execute::chain(error);
    if said.contains("InvalidContentType") {
        "; the port does not speak TLS: expected `http://`"
    } else if said.contains("h2 protocol error") || said.contains("http2 error") {
        "; the port does not speak plain HTTP/2: a coordinator with a certificate is reached over `https://`, with \
         `--authority`"
    } else if said.contains("transport error") && !said.contains("connect error") {
        // A port that speaks TLS may just hang up.
        "; a coordinator with a certificate is expected to be reached over `https://`, with `--authority`"
    } else {
        ""
    }
}
