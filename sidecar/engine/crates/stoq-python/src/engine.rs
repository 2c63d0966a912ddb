//! The data plane: workers, routing table, counters, connections.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use stoq_core::table::Table;
use stoq_io::{EngineSettings, LocalPort, LogLevel, PolicyDocument};

use crate::mistakes;
use crate::objects::Objects;
use crate::streams::ApiStreams;
use crate::tls::TlsContext;

/// A running engine.
#[pyclass(frozen, module = "stoq._engine")]
pub(crate) struct Engine(stoq_io::Engine);

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>, settings: &str, tls: &TlsContext) -> PyResult<Self> {
        let tls = Arc::clone(&tls.0);
        py.detach(|| {
            let settings = EngineSettings::from_json(settings)?;
            stoq_io::Engine::start(settings, tls)
        })
        .map(Self)
        .map_err(mistakes::engine)
    }

    fn set_table(&self, py: Python<'_>, table: &str) -> PyResult<()> {
        py.detach(|| {
            let table = Table::from_json(table).map_err(mistakes::value)?;
            self.0.set_table(Arc::new(table));
            Ok(())
        })
    }

    fn snapshot(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| json(&self.0.snapshot()))
    }

    fn connections(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| json(&self.0.connections()))
    }

    fn settings(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| json(self.0.settings()))
    }

    fn reauthorise(&self, py: Python<'_>) {
        py.detach(|| self.0.reauthorise());
    }

    fn prove_identity(&self, py: Python<'_>) {
        py.detach(|| self.0.prove_identity());
    }

    fn set_adaptation(&self, py: Python<'_>, policy: &str) -> PyResult<()> {
        py.detach(|| {
            let policy: PolicyDocument = serde_json::from_str(policy).map_err(mistakes::value)?;
            self.0.set_adaptation(&policy).map_err(mistakes::engine)
        })
    }

    fn adapt_now(&self, py: Python<'_>) {
        py.detach(|| self.0.adapt_now());
    }

    fn drain(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        let timeout = Duration::try_from_secs_f64(seconds)
            .map_err(|error| mistakes::argument("seconds", format!("{seconds}: {error}")))?;
        py.detach(|| self.0.drain(timeout));
        Ok(())
    }

    fn join(&self, py: Python<'_>) {
        py.detach(|| self.0.join());
    }

    fn shutdown(&self, py: Python<'_>) {
        py.detach(|| self.0.shutdown());
    }

    fn local_port(&self, listener: &str) -> PyResult<Option<u16>> {
        let which = match listener {
            "stoq" => LocalPort::Stoq,
            "bootstrap" => LocalPort::Bootstrap,
            "outbound" => LocalPort::Outbound,
            "inbound" => LocalPort::Inbound,
            other => {
                let text = format!("{other:?} is none of stoq, bootstrap, outbound, inbound");
                return Err(mistakes::argument("listener", text));
            }
        };
        Ok(self.0.local_port(which))
    }

    fn set_transparent(&self, transparent: bool) {
        self.0.set_transparent(transparent);
    }

    fn set_log_level(&self, level: &str) -> PyResult<()> {
        let level = match level {
            "error" => LogLevel::Error,
            "warn" => LogLevel::Warn,
            "info" => LogLevel::Info,
            "debug" => LogLevel::Debug,
            "trace" => LogLevel::Trace,
            other => {
                let text = format!("{other:?} is none of error, warn, info, debug, trace");
                return Err(mistakes::argument("level", text));
            }
        };
        self.0.set_log_level(level);
        Ok(())
    }

    #[getter]
    fn streams(&self) -> ApiStreams {
        ApiStreams(self.0.api().clone())
    }

    #[getter]
    fn objects(&self) -> Objects {
        Objects(self.0.objects())
    }
}

fn json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(mistakes::value)
}
