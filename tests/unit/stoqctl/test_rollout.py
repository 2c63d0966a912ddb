from stoqctl.rollout import progress, steps
from unit.stoqctl.mesh import IMAGE, pod

NEW = "localhost/stoq/sidecar:2"


def state(name, **sidecar):
    found = pod(name)
    found["status"]["initContainerStatuses"][0] |= sidecar
    return found


def ready(name, status, **sidecar):
    found = state(name, **sidecar)
    found["status"]["conditions"] = [
        {"type": "Initialized", "status": "True"},
        {"type": "Ready", "status": status},
    ]
    return found


def waiting(reason, message=""):
    return {"waiting": {"reason": reason, "message": message}}


def test_only_running_sidecars_of_another_image_are_changed():
    ended, going, bare = pod("ended"), pod("going"), pod("bare", initContainers=[])
    ended["status"]["phase"] = "Succeeded"
    going["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"
    pods = [pod("web-1"), pod("web-0"), ended, going, bare]
    assert [step.name for step in steps(pods, NEW)] == ["shop/web-0", "shop/web-1"]
    assert steps(pods, IMAGE) == []


def test_a_step_is_over_when_the_sidecar_has_restarted_and_is_ready():
    (step,) = steps([pod("web-0")], NEW)
    assert progress(step, pod("web-0")) == (False, "")
    assert progress(step, state("web-0", restartCount=1, ready=False)) == (False, "")
    assert progress(step, state("web-0", restartCount=1)) == (True, "")


def test_a_pod_that_was_ready_is_waited_for_until_it_is_again():
    (step,) = steps([ready("web-0", "True")], NEW)
    assert progress(step, ready("web-0", "False", restartCount=1)) == (False, "")
    assert progress(step, ready("web-0", "True", restartCount=1)) == (True, "")
    (step,) = steps([ready("web-0", "False")], NEW)
    assert progress(step, ready("web-0", "False", restartCount=1)) == (True, "")


def test_a_pod_that_was_replaced_needs_nothing_more():
    (step,) = steps([pod("web-0")], NEW)
    successor = pod("web-0")
    successor["metadata"]["uid"] = "other"
    assert progress(step, successor) == progress(step, None) == (True, "")


def test_a_sidecar_that_will_not_come_up_is_said_at_once():
    (step,) = steps([pod("web-0")], NEW)
    broken = state("web-0", state=waiting("ErrImageNeverPull", "no such"))
    assert progress(step, broken) == (True, "ErrImageNeverPull: no such")


def test_regression_the_trouble_of_the_former_image_ends_no_upgrade():
    before = state("web-0", state=waiting("ErrImagePull", "old"))
    (step,) = steps([before], NEW)
    assert progress(step, before) == (False, "")
    assert progress(step, state("web-0", state=waiting("ErrImagePull", "new")))[0]
