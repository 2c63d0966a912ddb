import pytest

from stoq_operator.kept import StateError
from stoq_operator.state import StateDirectory, write_file


def test_a_state_directory_is_made_private(tmp_path):
    state = StateDirectory(tmp_path / "a" / "state")
    assert state.path.stat().st_mode & 0o777 == 0o700


def test_a_state_directory_that_others_may_enter_is_refused(tmp_path):
    (tmp_path / "state").mkdir(mode=0o755)
    with pytest.raises(StateError, match="chmod 700"):
        StateDirectory(tmp_path / "state")


def test_a_state_directory_that_can_not_be_made_is_an_error_that_names_the_flag(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="--state"):
        StateDirectory(tmp_path / "file" / "state")


def test_files_are_replaced_appended_to_and_removed(tmp_path):
    state = StateDirectory(tmp_path / "state")
    assert state.read("x") is None
    state.write("x", b"one")
    state.write("x", b"two")
    state.append("x", b"three")
    assert state.read("x") == b"twothree"
    assert state.remove("x")
    assert not state.remove("x")
    assert sorted(path.name for path in state.path.iterdir()) == ["ca"]


def test_what_the_disk_refuses_names_the_file(tmp_path):
    state = StateDirectory(tmp_path / "state")
    (state.path / "x").mkdir()
    for act in (
        lambda: state.read("x"),
        lambda: state.append("x", b""),
        lambda: state.write("x", b""),
    ):
        with pytest.raises(StateError, match="/x can not be"):
            act()


def test_a_leftover_of_a_crash_is_no_obstacle(tmp_path):
    (tmp_path / ".x.new").write_text("half")
    write_file(tmp_path / "x", b"whole", 0o644)
    assert (tmp_path / "x").read_bytes() == b"whole"
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o644
