//! TLS over TCP, one blocking thread for each client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use quic_setup::handshakes::Count;

/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(5);

/// Runs `parallel` clients until `end`.
pub(crate) fn run(
    server: SocketAddr,
    config: ClientConfig,
    parallel: usize,
    end: Instant,
) -> Result<Count> {
    let config = Arc::new(config);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..parallel)
            .map(|_| scope.spawn(|| client(server, &config, end)))
            .collect();
        let counts: Result<Vec<Count>> = clients
            .into_iter()
            .map(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
            .collect();
        Ok(counts?
            .into_iter()
            .fold(Count::default(), |all, one| Count {
                handshakes: all.handshakes + one.handshakes,
                resumed: all.resumed + one.resumed,
            }))
    })
}

fn client(server: SocketAddr, config: &Arc<ClientConfig>, end: Instant) -> Result<Count> {
    let mut count = Count::default();
    while Instant::now() < end {
        let kind = handshake(server, config).with_context(|| format!("handshake with {server}"))?;
        count.handshakes += 1;
        count.resumed += u64::from(kind == Some(HandshakeKind::Resumed));
    }
    Ok(count)
}

/// One handshake, done when a byte has come back through the relay: only then has the server
/// checked the client's certificate, and BoringSSL sends its tickets with its first data.
fn handshake(server: SocketAddr, config: &Arc<ClientConfig>) -> Result<Option<HandshakeKind>> {
    let tcp = TcpStream::connect(server)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(SILENCE))?;
    let name = ServerName::try_from(quic_setup::SERVER_NAME)?;
    let mut stream = StreamOwned::new(ClientConnection::new(config.clone(), name)?, tcp);
    stream.write_all(&[1])?;
    stream.read_exact(&mut [0])?;
    let kind = stream.conn.handshake_kind();
    stream.conn.send_close_notify();
    stream.flush()?;
    Ok(kind)
}
