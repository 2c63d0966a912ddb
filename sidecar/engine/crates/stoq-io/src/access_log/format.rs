//! One record as a line. The field names are ztunnel's; what is not known is
//! left out.

use std::fmt::Display;
use std::io::Write;

use super::time::Rfc3339;
use super::{AccessRecord, LineFormat, Outcome};
use crate::counters::{Party, Reporter};

/// Appends the line of `record`.
pub(super) fn write(format: LineFormat, record: &AccessRecord, out: &mut Vec<u8>) {
    let mut line = Line { format, out };
    line.open(record);
    line.parties(record);
    line.result(record);
    line.close();
}

/// A line that is being written. Writing to a `Vec` cannot fail.
struct Line<'o> {
    format: LineFormat,
    out: &'o mut Vec<u8>,
}

impl Line<'_> {
    fn open(&mut self, record: &AccessRecord) {
        let time = Rfc3339(record.time);
        let (level, message) = match record.outcome {
            Outcome::Complete => ("info", "connection complete"),
            Outcome::Failed(..) => ("error", "connection failed"),
            Outcome::Refused(_) => ("warn", "connection refused"),
        };
        let _ = match self.format {
            LineFormat::Json => write!(
                self.out,
                r#"{{"time":"{time}","level":"{level}","target":"access","message":"{message}""#
            ),
            LineFormat::Text => write!(self.out, "{time} {level} access {message}"),
        };
    }

    fn parties(&mut self, record: &AccessRecord) {
        let labels = &record.labels;
        if record.udp {
            self.text("protocol", "udp");
        }
        self.text("src.addr", record.source);
        self.party(
            ["src.workload", "src.namespace", "src.identity"],
            &labels.source,
        );
        self.text("dst.addr", record.destination);
        self.option("stoq.addr", record.stoq);
        self.option(
            "dst.service",
            labels
                .service
                .as_ref()
                .map(|(name, space)| format!("{name}.{space}.stoq")),
        );
        self.party(
            ["dst.workload", "dst.namespace", "dst.identity"],
            &labels.destination,
        );
        self.text(
            "direction",
            match labels.reporter {
                Reporter::Source => "outbound",
                Reporter::Destination => "inbound",
            },
        );
    }

    fn party(&mut self, [workload, namespace, identity]: [&str; 3], party: &Party) {
        self.option(workload, party.workload.as_ref());
        self.option(namespace, party.namespace.as_ref());
        self.option(identity, party.principal.as_ref());
    }

    fn result(&mut self, record: &AccessRecord) {
        if let Some(suite) = record.labels.suite {
            self.text("key_exchange", suite.key_exchange);
            self.text("signature", suite.signature);
            self.text("cipher", suite.cipher);
        }
        self.option(
            "flow",
            record
                .flow
                .map(|flow| format!("{:032x}", u128::from_be_bytes(flow.0))),
        );
        if let Some(standing) = record.adaptation {
            self.text("stoq.tier", standing.tier);
            self.number("stoq.tier_changes", standing.changes);
        }
        self.number("bytes_sent", record.bytes_sent);
        self.number("bytes_recv", record.bytes_received);
        self.text(
            "duration",
            format_args!("{}ms", record.duration.as_millis()),
        );
        match &record.outcome {
            Outcome::Complete => {}
            Outcome::Failed(flag, error) => {
                self.text("response_flags", flag.name());
                self.text("error", error);
            }
            Outcome::Refused(error) => {
                self.text("response_flags", "DENY");
                self.text("error", error);
            }
        }
    }

    fn option(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn number(&mut self, key: &str, value: u64) {
        let _ = match self.format {
            LineFormat::Json => write!(self.out, r#","{key}":{value}"#),
            LineFormat::Text => write!(self.out, " {key}={value}"),
        };
    }

    fn text(&mut self, key: &str, value: impl Display) {
        let value = value.to_string();
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        let _ = match self.format {
            LineFormat::Text if !value.is_empty() && value.bytes().all(plain) => {
                write!(self.out, " {key}={value}")
            }
            // JSON's quoting keeps a line one line, whatever the value holds.
            LineFormat::Text => write!(self.out, " {key}={}", serde_json::Value::from(value)),
            LineFormat::Json => {
                write!(self.out, r#","{key}":{}"#, serde_json::Value::from(value))
            }
        };
    }

    fn close(self) {
        self.out.extend_from_slice(match self.format {
            LineFormat::Json => b"}\n",
            LineFormat::Text => b"\n",
        });
    }
}
