//! Whom a request comes from, where a trusted proxy passed it on.

use std::sync::Arc;

use http::HeaderMap;

use super::connection::Connection;
use super::framing::Violation;

/// The connection as the request is to be judged: from the address that a trusted proxy names. From everybody else the header is
/// only a header.
///
/// # Errors
/// A trusted proxy says what cannot be read. Nobody is then let in by the proxy's own address.
pub(super) fn attribute(connection: &Arc<Connection>, headers: &HeaderMap) -> Result<Arc<Connection>, Violation> {
    let config = &connection.listener.config;
    let Some(proxies) = config.trusted_proxies.as_ref().filter(|proxies| proxies.contains(connection.source)) else {
        return Ok(Arc::clone(connection));
    };
    let lines = headers.get_all(config.forwarded_header.name()).iter().map(http::HeaderValue::as_bytes);
    match config.forwarded_header.caller(lines, connection.source, proxies) {
        Ok(source) if source == connection.source => Ok(Arc::clone(connection)),
        Ok(source) => Ok(Arc::new(Connection { source, ..Connection::clone(connection) })),
        Err(fault) => {
            tracing::debug!(listener = %config.name, proxy = %connection.source, %fault, "a trusted proxy names no caller");
            metrics::counter!("portcullis_forwarded_refused_total", "listener" => config.name.clone()).increment(1);
            Err(Violation::Forwarded)
        }
    }
}
