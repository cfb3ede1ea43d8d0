//! One connection, never waited for: each call does what can be done at once.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};

use crate::Error;

/// What a poll found.
pub enum Event {
    Nothing,
    /// A whole answer, with its status. The connection stays.
    Answer(u16),
    /// The server closed.
    Closed,
}

pub struct Connection {
    socket: TcpStream,
    tls: ClientConnection,
    received: Vec<u8>,
}

impl Connection {
    pub fn open(to: SocketAddr, config: &Arc<ClientConfig>) -> Result<Self, Error> {
        let socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let tls = ClientConnection::new(Arc::clone(config), ServerName::IpAddress(to.ip().into()))?;
        Ok(Self { socket, tls, received: Vec::with_capacity(4096) })
    }

    /// May be called before the handshake is done.
    pub fn send(&mut self, request: &[u8]) -> Result<(), Error> {
        self.tls.writer().write_all(request)?;
        Ok(self.flush()?)
    }

    pub fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub fn poll(&mut self) -> Result<Event, Error> {
        self.flush()?;
        let ended = match self.tls.read_tls(&mut self.socket) {
            Ok(count) => count == 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Event::Nothing),
            // A server that closes with bytes of ours unread resets.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Event::Closed),
            Err(error) => return Err(error.into()),
        };
        let state = self.tls.process_new_packets();
        // An alert of ours, if there is one, tells the server why.
        self.flush()?;
        let waiting = state?.plaintext_bytes_to_read();
        if waiting > 0 {
            let before = self.received.len();
            self.received.resize(before + waiting, 0);
            self.tls.reader().read_exact(&mut self.received[before..])?;
        }
        if let Some((status, length)) = answer(&self.received) {
            self.received.drain(..length);
            return Ok(Event::Answer(status));
        }
        Ok(if ended { Event::Closed } else { Event::Nothing })
    }
}

/// Status and length of the answer that begins here, if it is whole. Every server under comparison sends Content-Length.
fn answer(bytes: &[u8]) -> Option<(u16, usize)> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let status = text.get(9..12)?.parse().ok()?;
    let length: usize = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())?;
    (bytes.len() >= head + length).then_some((status, head + length))
}
