"""A token bucket. Pure: time is an argument."""


class Rate:
    """Allows `per_second` events on average and `burst` at once."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = 0.0

    def allow(self, now: float) -> bool:
        """Whether one more event at `now` (monotonic seconds) is within the rate; counts it."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._per_second)
        self._at = max(self._at, now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
