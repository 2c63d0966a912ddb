import pytest

from support.control import control as make_control


@pytest.fixture
def stopped(tmp_path):
    """A control process that does not run yet."""
    return make_control(tmp_path)


@pytest.fixture
async def control(stopped):
    async with stopped.running():
        yield stopped


@pytest.fixture
async def member(control):
    async with control.member() as found:
        yield found
