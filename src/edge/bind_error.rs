//! Why the edge cannot start.

use std::{io, net::SocketAddr, path::PathBuf};

/// Why the edge cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The port is taken, the address is not ours, or it needs privileges.
    #[error("cannot listen on `{address}` ({listener}): {source}")]
    Listen {
        /// The configuration key.
        listener: &'static str,
        /// The address.
        address: SocketAddr,
        /// Cause.
        source: io::Error,
    },
    /// A certificate of ours cannot be used.
    #[error("{0}")]
    Certificates(String),
    /// Checking the certificates of `https` upstreams needs the file that this variable names.
    #[error("`SSL_CERT_FILE` names `{}`, which cannot be read: {source}", path.display())]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}
