"""Roots of other meshes, from the MeshConfig. Pure."""

from dataclasses import dataclass

from stoq.engine import parse_certificate
from stoq.pem import certificates
from stoq.records.mesh import FederatedBundle, MeshConfig
from stoq.registry import FederatedTrust
from stoq_operator.problem import Problem


@dataclass(frozen=True, slots=True)
class Federation:
    """Whom to trust beside our own roots."""

    domains: tuple[FederatedTrust, ...] = ()
    problem: Problem | None = None
    """Why one of them is left out."""


def federation(config: MeshConfig | None) -> Federation:
    """The roots of `config`. A bundle with anything that is no root of its domain is left out as a
    whole: half a rotation would be worse than none.
    """
    domains = []
    problem = None
    for index, bundle in enumerate(config.spec.federated if config is not None else ()):
        try:
            domains.append(_read(bundle))
        except ValueError as error:
            assert config is not None
            problem = problem or Problem(
                "BundleUnusable",
                f"{config.key}: spec.federated[{index}].bundle of {bundle.trust_domain} is left "
                f"out: {error}",
            )
    return Federation(tuple(domains), problem)


def _read(bundle: FederatedBundle) -> FederatedTrust:
    roots = certificates(bundle.bundle)
    wanted = f"spiffe://{bundle.trust_domain}"
    for number, der in enumerate(roots, start=1):
        found = parse_certificate(der)
        if (found.kind, found.spiffe_id) != ("root", wanted):
            raise ValueError(
                f"certificate {number} is a {found.kind} of {found.spiffe_id}, not a root of "
                f"{wanted}; give the bundle that the other mesh's control process writes"
            )
    return FederatedTrust(bundle.trust_domain, roots)
