"""What holds for every ring."""

from hypothesis import settings

# How long an example takes says nothing about the product on a shared machine.
settings.register_profile("stoq", deadline=None)
settings.load_profile("stoq")
