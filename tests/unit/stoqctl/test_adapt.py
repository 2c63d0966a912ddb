"""`stoqctl adapt`, against the pages of a sidecar."""

import json

from unit.stoqctl.conftest import ADAPTATION, BINDING, CONNECTION


def test_tier_inputs_and_the_last_change_are_shown(sidecar, stoqctl):
    status, text = stoqctl("adapt", "--admin", sidecar.url)
    assert status == 0
    for part in (
        "standard (75%)", "bbr3", "40.2 ms", "46 Mbit/s", "0.10%", "16.0 MB, 16.0 MB",
        "performance to standard 1 min 1 s ago (measured)",
    ):  # fmt: skip
        assert part in text
    assert sidecar.told == []


def test_json_has_every_input_and_decision(sidecar, stoqctl):
    (found,) = json.loads(stoqctl("adapt", "--admin", sidecar.url, "--json")[1])["connections"]
    assert found["adaptation"] == ADAPTATION
    assert found["remote"] == CONNECTION["remote"]


def test_what_is_not_known_is_said_so(sidecar, stoqctl):
    nothing = ADAPTATION | {"delivery_rate": None, "loss_ratio": None, "changes": []}
    sidecar.pages["/connections"] = [CONNECTION | {"adaptation": nothing}]
    _, text = stoqctl("adapt", "--admin", sidecar.url)
    assert text.count("unknown") == 2
    assert "none yet" in text


def test_a_dry_run_is_marked_and_no_adaptation_is_said_in_words(sidecar, stoqctl):
    dry = [change | {"applied": False} for change in ADAPTATION["changes"]]
    adaptation = ADAPTATION | {"changes": dry}
    sidecar.pages["/connections"] = [CONNECTION | {"adaptation": adaptation}]
    assert "(measured, dry run)" in stoqctl("adapt", "--admin", sidecar.url)[1]
    sidecar.pages["/connections"] = [CONNECTION | {"adaptation": None}]
    assert "STOQ_ADAPT_MODE is off" in stoqctl("adapt", "--admin", sidecar.url)[1]


def test_pins_and_the_trigger_are_told_to_the_sidecar(sidecar, stoqctl):
    assert stoqctl("adapt", "--admin", sidecar.url, "--tier", "home")[0] == 0
    assert stoqctl("adapt", "--admin", sidecar.url, "--congestion", "bbr3", "--now")[0] == 0
    assert stoqctl("adapt", "--admin", sidecar.url, "--unpin")[0] == 0
    told = [
        (path, query.get("tier", ""), query.get("congestion", "")) for path, query in sidecar.told
    ]
    assert told == [
        ("/adapt", "home", ""),
        ("/adapt", "", "bbr3"),
        ("/adapt-now", "", ""),
        ("/adapt", "", ""),
    ]


def test_a_pin_that_cannot_be_is_refused(sidecar, stoqctl):
    status, text = stoqctl("adapt", "--admin", sidecar.url, "--tier", "fast")
    assert status == 1
    assert "no tier is called 'fast'" in text
    status, text = stoqctl("adapt", "--admin", sidecar.url, "--unpin", "--tier", "home")
    assert (status, "leave out --tier" in text) == (1, True)


def test_the_policy_that_binds_and_pins_by_hand_are_shown(sidecar, stoqctl):
    sidecar.pages["/adapt"] = BINDING
    _, text = stoqctl("adapt", "--admin", sidecar.url)
    assert "policy: shop/wan (max tier standard, max rate 200,000,000, dry run no)" in text
    assert "pinned by hand: tier home" in text
    assert "in force: mode on, tier home, max tier standard" in text
    assert "send window 12,000 to 70,000" in text
    assert (
        json.loads(stoqctl("adapt", "--admin", sidecar.url, "--json")[1])["adaptation"] == BINDING
    )
    sidecar.pages["/adapt"] = BINDING | {"policy": None, "pins": {"tier": "", "congestion": ""}}
    _, text = stoqctl("adapt", "--admin", sidecar.url)
    assert "policy: none" in text
    assert "pinned by hand" not in text


def test_a_sidecar_of_the_release_before_tells_no_policy_and_the_rest_is_shown(sidecar, stoqctl):
    status, text = stoqctl("adapt", "--admin", sidecar.url)
    assert (status, "policy:" in text, "standard (75%)" in text) == (0, False, True)
