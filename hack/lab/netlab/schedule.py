"""What a path is like, and when it changes: a small file in TOML or JSON."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import msgspec

PRESETS: Final = Path(__file__).parent / "presets"

LEAST_QUEUE: Final = 30_000
"""Bytes that a queue holds however slow the path is: twenty datagrams of Ethernet's size."""

MOST_QUEUE: Final = 2**32 - 1
"""Bytes: the kernel's token bucket keeps its limit in 32 bits."""

BUCKET: Final = ("rate_mbit", "queue_ms")
"""All that the kernel's token bucket can be told."""

Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Millis = Annotated[float, msgspec.Meta(ge=0, le=10_000)]


class ScheduleError(ValueError):
    """A schedule that makes no sense; the message has the file, the field, and what would do."""


class Conditions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One direction, or both. What is left out is as in `Step`, else no trouble at all."""

    rate_mbit: Annotated[float, msgspec.Meta(gt=0, le=100_000)] | None = None
    """Megabits per second of frames, Ethernet headers included; None: as fast as it goes."""
    queue_ms: Annotated[float, msgspec.Meta(gt=0, le=10_000)] | None = None
    """How long the rate makes a frame wait at most: more are dropped. 50 unless given."""
    delay_ms: Millis | None = None
    """One way."""
    jitter_ms: Millis | None = None
    """Added to the delay, evenly spread from nothing to this; frames keep their order."""
    loss_percent: Percent | None = None
    """Frames that never arrive."""
    reorder_percent: Percent | None = None
    """Frames that come late, so that others overtake them."""
    reorder_ms: Millis | None = None
    """How late; 5 unless given."""
    duplicate_percent: Percent | None = None
    """Frames that arrive twice."""

    def over(self, other: "Conditions") -> "Conditions":
        """These, and those of `other` where these say nothing."""
        return Conditions(
            **{
                name: getattr(other, name) if (own := getattr(self, name)) is None else own
                for name in Conditions.__struct_fields__
            }
        )

    def document(self) -> dict[str, int]:
        """As the program `netpath` reads it: bits, bytes, microseconds, parts per million."""
        rate = round((self.rate_mbit or 0) * 1e6)
        queue = max(LEAST_QUEUE, round(rate / 8 * (self.queue_ms or 50) / 1000))
        late = 5.0 if self.reorder_ms is None else self.reorder_ms
        return {
            "rate": rate,
            "queue": queue,
            "delay": round((self.delay_ms or 0) * 1000),
            "jitter": round((self.jitter_ms or 0) * 1000),
            "loss": round((self.loss_percent or 0) * 10_000),
            "reorder": round((self.reorder_percent or 0) * 10_000),
            "reorder_by": round(late * 1000),
            "duplicate": round((self.duplicate_percent or 0) * 10_000),
        }


class Step(Conditions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Both directions for some time."""

    seconds: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None
    """How long; the last step may leave it out and holds for good."""
    up: Conditions = Conditions()
    """From the near end to the far end, where it differs."""
    down: Conditions = Conditions()
    """From the far end to the near end, where it differs."""

    def both(self) -> dict[str, Any]:
        """As the program `netpath` reads it."""
        return {
            "lasts": None if self.seconds is None else round(self.seconds * 1e6),
            "up": self.up.over(self).document(),
            "down": self.down.over(self).document(),
        }


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps one after another; the last holds for good unless they are repeated."""

    description: str = ""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 1
    """Of all that is left to chance: the same seed loses the same frames."""
    repeat: bool = False
    """Begin anew after the last step."""
    path: Literal["program", "kernel"] = "program"
    """`program`: a program of ours carries each frame, below a gigabit per second on two CPUs;
    `kernel`: token buckets of the kernel do, for steps of nothing but rates and queues.
    """
    steps: Annotated[tuple[Step, ...], msgspec.Meta(min_length=1, max_length=1000)]

    def checked(self) -> Self:
        """Raises ScheduleError naming the field."""
        for number, step in enumerate(self.steps):
            last = number == len(self.steps) - 1
            if step.seconds is None and (self.repeat or not last):
                why = "steps are repeated" if self.repeat else "another step follows"
                raise ScheduleError(f"steps[{number}].seconds is missing: {why}, so say how long")
            if self.path == "kernel":
                _check_bucket(f"steps[{number}]", step)
        return self

    @property
    def seconds(self) -> float:
        """Until the last change; what holds for good counts nothing."""
        return sum(step.seconds or 0.0 for step in self.steps)

    def document(self) -> str:
        """JSON as the program `netpath` reads it."""
        steps = [step.both() for step in self.steps]
        return json.dumps({"seed": self.seed, "repeat": self.repeat, "steps": steps})


def _check_bucket(place: str, step: Step) -> None:
    """Raises ScheduleError for what the kernel's token bucket cannot be told."""
    for where, given in ((place, step), (f"{place}.up", step.up), (f"{place}.down", step.down)):
        for name in Conditions.__struct_fields__:
            if name not in BUCKET and getattr(given, name):
                raise ScheduleError(
                    f'{where}.{name}: path = "kernel" knows {" and ".join(BUCKET)} only: leave '
                    'this out, or say path = "program"'
                )
    for way in (step.up.over(step), step.down.over(step)):
        if way.rate_mbit is None:
            raise ScheduleError(
                f'{place}.rate_mbit is missing: path = "kernel" takes a rate for both directions'
            )
        if way.document()["queue"] > MOST_QUEUE:
            raise ScheduleError(
                f"{place}.queue_ms: {way.queue_ms or 50:g} ms of {way.rate_mbit:g} Mbit/s are more "
                f"than the {MOST_QUEUE} bytes that a queue of the kernel can hold"
            )


def parse(text: str, name: str) -> Schedule:
    """The schedule in `text`: JSON where `name` ends so, TOML otherwise. Raises ScheduleError."""
    try:
        read = json.loads(text) if name.endswith(".json") else tomllib.loads(text)
        return msgspec.convert(read, Schedule).checked()
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$")
        field = place.rstrip("`").lstrip(".") or "the schedule"
        raise ScheduleError(f"{name}: {field}: {problem[:1].lower()}{problem[1:]}") from None
    except ScheduleError as error:
        raise ScheduleError(f"{name}: {error}") from None
    except ValueError as error:
        kind = "JSON" if name.endswith(".json") else "TOML"
        raise ScheduleError(f"{name} is no {kind}: {error}") from None


def presets() -> dict[str, Schedule]:
    """The schedules that come with the program, by name."""
    return {
        file.stem: parse(file.read_text(encoding="utf-8"), file.name)
        for file in sorted(PRESETS.glob("*.toml"))
    }


def find(name: str) -> Schedule:
    """A preset, or a file. Raises ScheduleError with the presets there are."""
    return parse(text(name), name)


def text(name: str) -> str:
    """The same as it is written. Raises ScheduleError."""
    file = PRESETS / f"{name}.toml"
    try:
        if "/" not in name and file.exists():
            return file.read_text(encoding="utf-8")
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(path.stem for path in PRESETS.glob("*.toml")))
        raise ScheduleError(
            f"{name!r} is no preset ({known}) and no file that can be read: {error}"
        ) from None
