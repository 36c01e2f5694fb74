import pytest

from nengo_cam.checks.parameters import number_twins


@pytest.mark.parametrize(
    ("names", "numbered"),
    [
        ([], []),
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a (2)", "a (3)"]),
        # A name that is there already is not taken from who has it.
        (["a", "a", "a (2)", "a"], ["a", "a (3)", "a (2)", "a (4)"]),
        (["", ""], ["", " (2)"]),
    ],
)
def test_names_that_come_again_get_a_number(names, numbered):
    assert number_twins(names) == numbered
    assert number_twins(numbered) == numbered
