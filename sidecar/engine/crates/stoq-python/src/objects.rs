//! Objects in shards. They are named by numbers, which events of `ApiStreams` tell.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use stoq_core::spiffe::SpiffeId;
use stoq_io::{ObjectPort, ObjectShadow, ObjectTarget, StreamToken};
use stoq_wire::frame::seed::WHOLE;
use stoq_wire::frame::shard::TransferId;

use crate::{dialled, mistakes};

/// The objects of an engine.
#[pyclass(frozen, module = "stoq._engine")]
pub(crate) struct Objects(pub(crate) ObjectPort);

/// Transfer, sender, data, whom the original of a copy is for, and who signed it.
type Received<'py> = (
    Bound<'py, PyBytes>,
    String,
    Bound<'py, PyBytes>,
    Option<String>,
    Option<String>,
);

#[pymethods]
impl Objects {
    #[pyo3(signature = (accepting, mirrors_from = None, signer = None))]
    fn accept(
        &self,
        accepting: bool,
        mirrors_from: Option<Vec<String>>,
        signer: Option<&str>,
    ) -> PyResult<()> {
        self.0.require_signer(identity("signer", signer)?);
        let from = mirrors_from.map(|ids| identities("mirrors_from", &ids));
        self.0.expect_mirrors(from.transpose()?);
        self.0.accept(accepting);
        Ok(())
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
        let sender = found.sender.as_str().to_owned();
        let signer = found.signer.map(|signer| signer.as_str().to_owned());
        Ok(Some((transfer, sender, data, found.copy_of, signer)))
    }

    #[pyo3(signature = (remote, data, expect = None, shard_size = 65536, lanes = 1, shadows = Vec::new(), sign = false))]
    #[allow(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn send(
        &self,
        py: Python<'_>,
        remote: &str,
        data: &[u8],
        expect: Option<&str>,
        shard_size: u64,
        lanes: u8,
        shadows: Vec<(String, String, i64)>,
        sign: bool,
    ) -> PyResult<u64> {
        let (remote, expect) = dialled::endpoint(remote, expect)?;
        let shadows = shadows.iter().map(shadow).collect::<PyResult<_>>()?;
        let target = ObjectTarget {
            remote,
            expect,
            shard_size,
            lanes,
            sign,
            shadows,
        };
        // The workers read it for longer than Python keeps it.
        let object = data.to_vec();
        py.detach(|| self.0.send(object, target))
            .map(|token| token.0)
            .map_err(mistakes::value)
    }

    fn hold(&self, most: usize, askers: Vec<String>) -> PyResult<()> {
        self.0.hold(most, identities("askers", &askers)?);
        Ok(())
    }

    #[pyo3(signature = (transfer, remote, expect = None, signer = None))]
    fn ask(
        &self,
        transfer: &[u8],
        remote: &str,
        expect: Option<&str>,
        signer: Option<&str>,
    ) -> PyResult<u64> {
        let id = transfer.try_into().map_err(|_| {
            let text = format!("{} bytes: a transfer's name has 16", transfer.len());
            mistakes::argument("transfer", text)
        })?;
        let (remote, expect) = dialled::endpoint(remote, expect)?;
        let signer = identity("signer", signer)?;
        let asked = self.0.ask(TransferId(id), remote, expect, signer);
        asked.map(|token| token.0).map_err(mistakes::value)
    }

    fn cancel(&self, token: u64) {
        self.0.cancel(StreamToken(token));
    }
}

fn identity(argument: &str, id: Option<&str>) -> PyResult<Option<SpiffeId>> {
    id.map(|id| SpiffeId::parse(id).map_err(|error| mistakes::argument(argument, error)))
        .transpose()
}

fn identities(argument: &str, ids: &[String]) -> PyResult<Vec<SpiffeId>> {
    ids.iter()
        .map(|id| SpiffeId::parse(id).map_err(|error| mistakes::argument(argument, error)))
        .collect()
}

fn shadow((remote, expect, share): &(String, String, i64)) -> PyResult<ObjectShadow> {
    let (remote, _) = dialled::endpoint(remote, None)?;
    let expect = SpiffeId::parse(expect).map_err(|error| mistakes::argument("shadows", error))?;
    let share = u16::try_from(*share).map_err(|_| {
        let text = format!("a share of {share}: 1 to {WHOLE} of {WHOLE} are possible");
        mistakes::argument("shadows", text)
    })?;
    Ok(ObjectShadow {
        remote,
        expect,
        share,
    })
}
