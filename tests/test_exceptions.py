import inspect
import pickle

import pytest

from nengo_cam import exceptions

ERRORS = [
    cls
    for _, cls in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(cls, (exceptions.CAMError, exceptions.CAMWarning))
]


@pytest.mark.parametrize("cls", [cls for cls in ERRORS if issubclass(cls, exceptions.CAMError)])
def test_errors_pickle_with_their_facts(cls):
    facts = {"layers": ("a", "b"), "poolable": ("a",)} if cls is exceptions.HeadError else {"label": "cat"}
    copy = pickle.loads(pickle.dumps(cls("what is wrong", **facts)))
    assert type(copy) is cls
    assert str(copy) == "what is wrong"
    for name, value in facts.items():
        assert getattr(copy, name) == value


def test_every_error_has_a_builtin_beside_the_root():
    roots = (exceptions.CAMError, exceptions.CAMWarning)
    for cls in set(ERRORS) - set(roots):
        others = [
            base for base in cls.__mro__ if base.__module__ == "builtins" and base not in (Exception, BaseException)
        ]
        assert others != [object], cls


def test_all_is_complete():
    assert set(exceptions.__all__) == {cls.__name__ for cls in ERRORS}
