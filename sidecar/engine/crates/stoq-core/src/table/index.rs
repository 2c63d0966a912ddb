//! Who is at which address: no address may mean two things.

use std::collections::HashMap;
use std::net::IpAddr;

use stoq_wire::frame::seed::WHOLE;

use super::{Service, TableError, Workload};

/// The workload at each address.
pub(super) fn workloads(workloads: &[Workload]) -> Result<HashMap<IpAddr, usize>, TableError> {
    let mut index = HashMap::new();
    for (w, workload) in workloads.iter().enumerate() {
        if workload.addresses.is_empty() {
            return Err(TableError {
                field: format!("workloads[{w}].addresses"),
                problem: "the list is empty: a workload has at least one address".to_owned(),
            });
        }
        for (a, address) in workload.addresses.iter().enumerate() {
            let earlier = index.insert(*address, w).filter(|earlier| *earlier != w);
            if let Some(earlier) = earlier {
                return Err(TableError {
                    field: format!("workloads[{w}].addresses[{a}]"),
                    problem: format!(
                        "{address} also belongs to workloads[{earlier}]: an address names one workload"
                    ),
                });
            }
        }
    }
    Ok(index)
}

/// The service behind each virtual address.
pub(super) fn services(
    services: &[Service],
    workload_of: &HashMap<IpAddr, usize>,
) -> Result<HashMap<IpAddr, usize>, TableError> {
    let mut index = HashMap::new();
    for (s, service) in services.iter().enumerate() {
        if service.vips.is_empty() {
            return Err(TableError {
                field: format!("services[{s}].vips"),
                problem: "the list is empty: leave out a service without virtual addresses"
                    .to_owned(),
            });
        }
        for (v, vip) in service.vips.iter().enumerate() {
            let taken = match (index.insert(*vip, s), workload_of.get(vip)) {
                (Some(earlier), _) => format!("services[{earlier}].vips"),
                (None, Some(workload)) => format!("workloads[{workload}]"),
                (None, None) => continue,
            };
            return Err(TableError {
                field: format!("services[{s}].vips[{v}]"),
                problem: format!("{vip} is also in {taken}: a virtual address names one service"),
            });
        }
        targets(s, service)?;
    }
    Ok(index)
}

/// An endpoint that has ports of its own names one for each port of the service.
fn targets(s: usize, service: &Service) -> Result<(), TableError> {
    let ports = service.ports.len();
    for (e, endpoint) in service.endpoints.iter().enumerate() {
        let given = endpoint.targets.len();
        if given != 0 && given != ports {
            return Err(TableError {
                field: format!("services[{s}].endpoints[{e}].targets"),
                problem: format!(
                    "{given} targets for {ports} ports: write one for each port, or none"
                ),
            });
        }
    }
    Ok(())
}

/// A mirror leads to another service of the table, and has a share.
pub(super) fn mirrors(
    services: &[Service],
    service_of: &HashMap<IpAddr, usize>,
) -> Result<(), TableError> {
    for (s, service) in services.iter().enumerate() {
        for (m, mirror) in service.mirrors.iter().enumerate() {
            let wrong = |field: &str, problem: String| TableError {
                field: format!("services[{s}].mirrors[{m}].{field}"),
                problem,
            };
            let (to, share) = (mirror.to, mirror.share);
            match service_of.get(&to) {
                Some(other) if *other != s => {}
                Some(_) => {
                    let problem = format!("{to} is the service's own: name another service");
                    return Err(wrong("vip", problem));
                }
                None => {
                    let problem = format!("{to} is no virtual address of a service of the table");
                    return Err(wrong("vip", problem));
                }
            }
            if share == 0 || share > WHOLE {
                let problem = format!("{share} of {WHOLE} is no share: write 1 to {WHOLE}");
                return Err(wrong("share", problem));
            }
        }
    }
    Ok(())
}
