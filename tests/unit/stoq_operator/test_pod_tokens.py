"""What the API server's answer to a TokenReview proves."""

import pytest

from stoq_operator.attest import Refusal, Refused
from stoq_operator.podtoken import POD_NAME, POD_UID, Proven, holder, proven, review
from support.records import workload

WEB = workload("web", "fd00::2", uid="u1")


def answer(**changes):
    return {
        "authenticated": True,
        "audiences": ["stoq.dev"],
        "user": {
            "username": "system:serviceaccount:shop:web",
            "extra": {POD_NAME: ["web"], POD_UID: ["u1"]},
        },
    } | changes


def user(name, **extra):
    return {"username": name, "extra": extra}


def test_a_review_asks_for_our_audience_alone():
    assert review("t")["spec"] == {"token": "t", "audiences": ["stoq.dev"]}


def test_a_token_of_a_pod_proves_the_pod_and_its_service_account():
    assert proven(answer()) == Proven("shop", "web", "u1", "web")
    assert holder(proven(answer()), {"u1": WEB}) is WEB


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({}, "does not accept the token: it is expired"),
        (answer(authenticated=False, error="bad signature"), "bad signature"),
        (answer(audiences=["https://kubernetes.default.svc"]), "not made for the audience"),
        (answer(audiences=None), "not made for the audience"),
        (answer(user=user("system:node:n0")), "not bound to a pod"),
        (answer(user=user("system:serviceaccount:shop:web")), "not bound to a pod"),
        (
            answer(user=user("system:serviceaccount:shop:web", **{POD_NAME: "web", POD_UID: []})),
            "not bound to a pod",
        ),
    ],
)
def test_a_token_that_proves_no_pod_is_refused(status, says):
    with pytest.raises(Refused, match=says) as raised:
        proven(status)
    assert raised.value.reason is Refusal.TOKEN


def test_a_pod_that_is_not_known_may_come_again():
    with pytest.raises(Refused, match="not known here") as raised:
        holder(proven(answer()), {})
    assert raised.value.reason is Refusal.UNKNOWN


@pytest.mark.parametrize(
    "other",
    [
        workload("db", "fd00::2", uid="u1", serviceAccount="web"),
        workload("web", "fd00::2", uid="u1", serviceAccount="admin"),
        workload("web", "fd00::2", uid="u1", namespace="bank"),
    ],
)
def test_a_token_and_a_pod_that_disagree_prove_nothing(other):
    with pytest.raises(Refused, match="the token says pod shop/web") as raised:
        holder(proven(answer()), {"u1": other})
    assert raised.value.reason is Refusal.IDENTITY
