"""Does what the kernel holds agree with the plan? Pure: reads nft's JSON listing.

Compared are the marker chain (it names the exact plan), each base chain's hook and priority, and
the rules' names in order. That finds a table that is missing, older, shortened or reordered. It
does not find a rule whose body was rewritten under the same name: whoever can do that has
NET_ADMIN in the pod and can also delete the table, and is outside what capture can stop
(docs/threat-model.md).
"""

import json
from collections.abc import Mapping
from typing import Any

from stoq.capture.chains import Chain
from stoq.capture.plan import Plan
from stoq.capture.rules import FAMILY, TABLE, chains, marker


def differences(plan: Plan, listing: str) -> list[str]:
    """What `listing` (from `nft -j list table inet stoq`) lacks or has too much of, one sentence
    each; empty when capture is in force as planned.

    Raises ValueError when the listing is not nft's JSON.
    """
    found_chains, found_rules = _read(listing)
    wanted = marker(plan)
    problems: list[str] = []
    if wanted not in found_chains:
        other = sorted(name for name in found_chains if name.startswith("revision_"))
        problems.append(
            f"table {FAMILY} {TABLE} holds {', '.join(other) or 'no revision'}, not {wanted}"
        )
    for chain in chains(plan):
        problems.extend(_chain_differences(chain, found_chains, found_rules))
    return problems


def _chain_differences(
    chain: Chain,
    found_chains: Mapping[str, tuple[str, str, int]],
    found_rules: Mapping[str, list[str]],
) -> list[str]:
    registered = found_chains.get(chain.name)
    if registered is None:
        return [f"chain {chain.name} is missing"]
    if registered != (chain.type, chain.hook, chain.priority):
        wanted = (chain.type, chain.hook, chain.priority)
        return [f"chain {chain.name} is registered as {registered}, not {wanted}"]
    names = found_rules.get(chain.name, [])
    expected = [rule.name for rule in chain.rules]
    if names == expected:
        return []
    missing = [name for name in expected if name not in names]
    extra = [name for name in names if name not in expected]
    if missing or extra:
        return [f"chain {chain.name}: lacks {missing or 'none'}, has unknown {extra or 'none'}"]
    return [f"chain {chain.name}: rules are in the order {names}, not {expected}"]


def _read(listing: str) -> tuple[dict[str, tuple[str, str, int]], dict[str, list[str]]]:
    try:
        items: list[dict[str, Any]] = json.loads(listing)["nftables"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a JSON listing of nft: {error}") from error
    chains_found: dict[str, tuple[str, str, int]] = {}
    rules_found: dict[str, list[str]] = {}
    for item in items:
        if "chain" in item:
            chain = item["chain"]
            chains_found[chain["name"]] = (
                chain.get("type", ""),
                chain.get("hook", ""),
                chain.get("prio", 0),
            )
        elif "rule" in item:
            rule = item["rule"]
            rules_found.setdefault(rule["chain"], []).append(rule.get("comment", "unnamed"))
    return chains_found, rules_found


def counters(listing: str) -> dict[str, tuple[int, int]]:
    """`{"outbound/capture": (packets, bytes)}` for each counted rule of a listing.

    Rules of NAT chains count connections, since only the first packet of a flow meets them.
    """
    found: dict[str, tuple[int, int]] = {}
    for item in json.loads(listing)["nftables"]:
        rule = item.get("rule")
        if rule is None:
            continue
        for expression in rule.get("expr", []):
            if isinstance(expression, dict) and "counter" in expression:
                count = expression["counter"]
                key = f"{rule['chain']}/{rule.get('comment', 'unnamed')}"
                found[key] = (count["packets"], count["bytes"])
    return found
