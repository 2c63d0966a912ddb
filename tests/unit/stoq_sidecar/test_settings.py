"""The sidecar's settings: defaults pinned, demands checked, sources in order."""

from pathlib import Path

import pytest

from stoq.settings.options import SettingsError, dump
from stoq_sidecar.settings import Settings, read, required

MINIMUM = {
    "STOQ_POD_NAME": "web-0",
    "STOQ_POD_NAMESPACE": "shop",
    "STOQ_CONTROL_ADDRESS": "[fd00::9]:14012",
}


def test_every_default_is_pinned() -> None:
    # A changed default changes running meshes: change this test and CHANGELOG.md with it.
    assert dump(read("", {})) == {
        "pod": {
            "name": "",
            "namespace": "",
            "service_account": "default",
            "node": "",
            "addresses": "",
            "host_addresses": "",
            "inbound": "",
            "outbound": "",
        },
        "control": {"address": ""},
        "identity": {
            "trust_domain": "cluster.local",
            "bundle_file": "/var/run/stoq/bundle.pem",
            "token_file": "/var/run/stoq/token",
            "profile": "hybrid-1024",
            "allow_classical": "false",
            "renew_at": "0.5",
            "renew_jitter": "0.1",
            "retry_min_seconds": "1.0",
            "retry_max_seconds": "60.0",
        },
        "discovery": {
            "retry_min_seconds": "0.2",
            "retry_max_seconds": "15.0",
            "signed": "prefer",
        },
        "capture": {
            "mode": "init",
            "sidecar_uid": "14008",
            "broker_uid": "0",
            "broker_seconds": "60.0",
            "verify_seconds": "30.0",
            "exclude_outbound_ports": "",
            "exclude_outbound_networks": "",
            "exclude_inbound_ports": "",
            "udp": "auto",
            "exclude_outbound_udp_ports": "",
            "exclude_inbound_udp_ports": "",
            "af_xdp": "auto",
            "probe_ports": "",
            "client_address": "auto",
        },
        "dns": {"enabled": "true", "resolv_conf": "/etc/resolv.conf", "nameservers": ""},
        "link": {"ipv6_only": "false", "mtu": "0"},
        "data": {
            "workers": "0",
            "stream_window": "1000000",
            "connection_window": "8000000",
            "idle_seconds": "15.0",
            "pool_idle_seconds": "300.0",
            "udp_idle_seconds": "60.0",
            "udp_flows": "16384",
            "qlog_dir": "",
        },
        "frames": {
            "tokens": "off",
            "packet_reserve": "0",
            "max_shard": "0",
            "mirrors": "true",
            "hops": "true",
            "forwarded": "true",
            "stripes": "true",
        },
        "gateway": {
            "enabled": "false",
            "routes": "1024",
            "routes_per_peer": "64",
            "gateways": "4",
            "queue_bytes": "262144",
            "idle_seconds": "60.0",
        },
        "adapt": {
            "mode": "on",
            "tier": "",
            "min_tier": "",
            "max_tier": "",
            "congestion": "",
            "max_rate": "0",
            "receive_window_most": "0",
            "send_window_most": "0",
        },
        "log": {"level": "info", "format": "text", "access": "text"},
        "shutdown": {"drain_seconds": "2.0"},
    }


def test_what_has_no_default_is_demanded_by_name() -> None:
    assert required(read("", {})) == [
        "STOQ_POD_NAME is empty and has no default",
        "STOQ_POD_NAMESPACE is empty and has no default",
        "STOQ_CONTROL_ADDRESS is empty and has no default",
    ]
    assert required(read("", MINIMUM)) == []


def test_classical_signatures_take_a_second_yes() -> None:
    classical = MINIMUM | {"STOQ_IDENTITY_PROFILE": "classical"}
    assert "STOQ_IDENTITY_ALLOW_CLASSICAL=true" in required(read("", classical))[0]
    assert required(read("", classical | {"STOQ_IDENTITY_ALLOW_CLASSICAL": "true"})) == []


def test_a_gateway_that_captures_or_offers_no_routes_is_none() -> None:
    wanted = MINIMUM | {"STOQ_GATEWAY_ENABLED": "true"}
    (found,) = required(read("", wanted))
    assert "STOQ_CAPTURE_MODE is 'init'" in found
    assert "stoq-gateway" in found
    alone = wanted | {"STOQ_CAPTURE_MODE": "none"}
    (found,) = required(read("", alone | {"STOQ_FRAMES_HOPS": "false"}))
    assert "STOQ_FRAMES_HOPS is false" in found
    assert required(read("", alone)) == []


def test_windows_that_contradict_each_other_are_refused() -> None:
    found = required(read("", MINIMUM | {"STOQ_DATA_STREAM_WINDOW": "9000000"}))
    assert "STOQ_DATA_CONNECTION_WINDOW is 8000000" in found[0]


def test_the_file_is_named_on_the_command_line_or_in_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "stoq.toml"
    file.write_text('[pod]\nname = "web-0"\n[link]\nipv6_only = true\n')
    for found in (read(str(file), {}), read("", {"STOQ_CONFIG_FILE": str(file)})):
        assert found.pod.name == "web-0"
        assert found.plan().ipv6_only


def test_an_unreadable_file_is_named_with_its_source(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match=r"--config is .*none.toml"):
        read(missing, {})
    with pytest.raises(SettingsError, match=r"STOQ_CONFIG_FILE is .*none.toml"):
        read("", {"STOQ_CONFIG_FILE": missing})


def test_the_plan_takes_over_uid_and_exclusions() -> None:
    plan = read(
        "",
        {
            "STOQ_CAPTURE_SIDECAR_UID": "2000",
            "STOQ_CAPTURE_EXCLUDE_OUTBOUND_PORTS": "443",
            "STOQ_CAPTURE_EXCLUDE_OUTBOUND_NETWORKS": "10.0.0.0/8",
            "STOQ_CAPTURE_EXCLUDE_INBOUND_PORTS": "22",
            "STOQ_CAPTURE_EXCLUDE_OUTBOUND_UDP_PORTS": "123",
            "STOQ_CAPTURE_EXCLUDE_INBOUND_UDP_PORTS": "5060",
        },
    ).plan()
    assert plan.sidecar_uids == (2000,)
    assert [str(p) for p in plan.exclude_outbound_ports] == ["443"]
    assert [str(n) for n in plan.exclude_outbound_networks] == ["10.0.0.0/8"]
    assert [str(p) for p in plan.exclude_inbound_ports] == ["22"]
    assert [str(p) for p in plan.exclude_outbound_udp_ports] == ["123"]
    assert [str(p) for p in plan.exclude_inbound_udp_ports] == ["5060"]


def test_the_identity_is_made_of_domain_namespace_and_account() -> None:
    settings: Settings = read("", MINIMUM | {"STOQ_POD_SERVICE_ACCOUNT": "web"})
    assert settings.spiffe_id == "spiffe://cluster.local/ns/shop/sa/web"
