//! Objects in shards. They are named by numbers, which events of `ApiStreams` tell.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use stoq_io::{ObjectPort, ObjectTarget, StreamToken};

use crate::{dialled, mistakes};

/// The objects of an engine.
#[pyclass(frozen, module = "stoq._engine")]
pub(crate) struct Objects(pub(crate) ObjectPort);

/// Transfer, sender, data.
type Received<'py> = (Bound<'py, PyBytes>, String, Bound<'py, PyBytes>);

#[pymethods]
impl Objects {
    fn accept(&self, accepting: bool) {
        self.0.accept(accepting);
    }

    fn fetch<'py>(&self, py: Python<'py>, token: u64) -> PyResult<Option<Received<'py>>> {
        let Some(found) = self.0.fetch(StreamToken(token)) else {
            return Ok(None);
        };
        let length = found.data.iter().map(|piece| piece.len()).sum();
        let data = PyBytes::new_with(py, length, |buffer| {
            let mut rest = buffer;
            for piece in &found.data {
                let (front, back) = rest.split_at_mut(piece.len());
                front.copy_from_slice(piece);
                rest = back;
            }
            Ok(())
        })?;
        let transfer = PyBytes::new(py, &found.transfer.0);
        Ok(Some((transfer, found.sender.as_str().to_owned(), data)))
    }

    #[pyo3(signature = (remote, data, expect = None, shard_size = 65536, lanes = 1))]
    fn send(
        &self,
        py: Python<'_>,
        remote: &str,
        data: &[u8],
        expect: Option<&str>,
        shard_size: u64,
        lanes: u8,
    ) -> PyResult<u64> {
        let (remote, expect) = dialled::endpoint(remote, expect)?;
        let target = ObjectTarget {
            remote,
            expect,
            shard_size,
            lanes,
        };
        // The workers read it for longer than Python keeps it.
        let object = data.to_vec();
        py.detach(|| self.0.send(object, target))
            .map(|token| token.0)
            .map_err(mistakes::value)
    }

    fn cancel(&self, token: u64) {
        self.0.cancel(StreamToken(token));
    }
}
