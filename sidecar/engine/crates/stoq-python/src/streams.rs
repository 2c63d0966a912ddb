//! API streams. They are named by numbers; no call here waits for the network,
//! but for `exporter`, which waits for the worker's next turn.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use stoq_io::{ApiEvent, ApiPort, StreamToken};
use stoq_wire::code::StreamCode;

use crate::certificate::hex;
use crate::{dialled, mistakes};

/// The API streams of an engine.
#[pyclass(frozen, module = "stoq._engine")]
pub(crate) struct ApiStreams(pub(crate) ApiPort);

/// The other end of an API stream, as its handshake proved it.
#[pyclass(frozen, get_all, module = "stoq._engine")]
pub(crate) struct StreamPeer {
    remote: String,
    spiffe_id: Option<String>,
    serial: Option<String>,
    not_after: Option<u64>,
    key_exchange: Option<&'static str>,
    peer_signature: Option<&'static str>,
    local_signature: Option<&'static str>,
    cipher: Option<&'static str>,
    profile: Option<&'static str>,
    resumed: bool,
}

impl StreamPeer {
    fn of(peer: &stoq_io::ApiPeer) -> Self {
        let evidence = peer.evidence.as_deref();
        let proven = evidence.and_then(|evidence| evidence.peer.as_ref());
        Self {
            remote: peer.remote.to_string(),
            spiffe_id: proven.map(|peer| peer.spiffe.as_str().to_owned()),
            serial: proven.map(|peer| hex(&peer.serial)),
            not_after: proven.map(|peer| peer.not_after),
            key_exchange: evidence.map(|evidence| evidence.key_exchange),
            peer_signature: evidence.map(|evidence| evidence.peer_signature),
            local_signature: evidence.map(|evidence| evidence.local_signature),
            cipher: evidence.map(|evidence| evidence.cipher),
            profile: evidence.map(|evidence| evidence.profile.name()),
            resumed: evidence.is_some_and(|evidence| evidence.resumed),
        }
    }
}

/// Kind, stream, the reason of a failure, the code of a reset.
type Event = (&'static str, u64, Option<String>, Option<u64>);

#[pymethods]
impl ApiStreams {
    #[getter]
    fn event_fd(&self) -> i32 {
        self.0.event_fd()
    }

    fn poll_events(&self) -> Vec<Event> {
        self.0.poll_events().into_iter().map(event).collect()
    }

    #[pyo3(signature = (remote, expect = None))]
    fn open(&self, remote: &str, expect: Option<&str>) -> PyResult<u64> {
        let (address, expect) = dialled::endpoint(remote, expect)?;
        self.0
            .open(address, expect)
            .map(|token| token.0)
            .map_err(mistakes::stream)
    }

    #[pyo3(signature = (stream, data, offset = 0, end = false))]
    fn send(&self, stream: u64, data: &[u8], offset: usize, end: bool) -> PyResult<usize> {
        let rest = data.get(offset..).unwrap_or_default();
        self.0
            .send(StreamToken(stream), rest, end)
            .map_err(mistakes::stream)
    }

    fn recv<'py>(
        &self,
        py: Python<'py>,
        stream: u64,
        most: usize,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let piece = self
            .0
            .recv(StreamToken(stream), most)
            .map_err(mistakes::stream)?;
        Ok(piece.map(|bytes| PyBytes::new(py, &bytes)))
    }

    fn reset(&self, stream: u64, code: u64) -> PyResult<()> {
        let code = StreamCode::from_u64(code).ok_or_else(|| {
            mistakes::argument(
                "code",
                format!("{code:#x} is no stream code of the wire format"),
            )
        })?;
        self.0.reset(StreamToken(stream), code);
        Ok(())
    }

    fn close(&self, stream: u64) {
        self.0.close(StreamToken(stream));
    }

    fn exporter<'py>(
        &self,
        py: Python<'py>,
        stream: u64,
        label: &str,
        context: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let material = py
            .detach(|| self.0.exporter(StreamToken(stream), label, context))
            .map_err(mistakes::stream)?;
        Ok(PyBytes::new(py, &material))
    }

    fn peer(&self, stream: u64) -> Option<StreamPeer> {
        let peer: Arc<stoq_io::ApiPeer> = self.0.peer(StreamToken(stream))?;
        Some(StreamPeer::of(&peer))
    }
}

fn event(event: ApiEvent) -> Event {
    match event {
        ApiEvent::Opened(token) => ("opened", token.0, None, None),
        ApiEvent::Accepted { token, .. } => ("accepted", token.0, None, None),
        ApiEvent::Readable(token) => ("readable", token.0, None, None),
        ApiEvent::Writable(token) => ("writable", token.0, None, None),
        ApiEvent::Finished(token) => ("finished", token.0, None, None),
        ApiEvent::Object(token) => ("object", token.0, None, None),
        ApiEvent::ObjectSent(token) => ("sent", token.0, None, None),
        ApiEvent::Failed {
            token,
            reason,
            code,
        } => (
            "failed",
            token.0,
            Some(reason.to_string()),
            code.map(StreamCode::as_u64),
        ),
    }
}
