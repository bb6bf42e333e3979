"""Every listed upstream name exists in the installed TRL, transformers, PEFT, accelerate and bitsandbytes."""

import importlib
import inspect
import re

import pytest

from rlhf_losses.upstream import UPSTREAM_NAMES


def resolve(name):
    """Return the module, class or function with a dotted name."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


def is_set_by(owner, attribute):
    """Return whether a method of a class or of one of its base classes sets the attribute."""
    sources = (inspect.getsource(cls) for cls in owner.__mro__ if cls is not object)
    return any(re.search(rf"\b(self|model)\.{attribute}\b[^=\n]*=[^=]", source) for source in sources)


@pytest.mark.parametrize("upstream_name", UPSTREAM_NAMES, ids=lambda upstream_name: upstream_name.name)
def test_the_upstream_name_exists(upstream_name):
    owner, _, attribute = upstream_name.name.rpartition(".")
    assert hasattr(resolve(owner), attribute) or is_set_by(resolve(owner), attribute), upstream_name.use


def test_no_upstream_name_is_listed_twice():
    names = [upstream_name.name for upstream_name in UPSTREAM_NAMES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["trl.GRPOTrainer._no_such_method", "trl.no_such_function"])
def test_a_missing_name_is_detected(name):
    owner, _, attribute = name.rpartition(".")
    found = resolve(owner)
    assert not hasattr(found, attribute)
    assert not (inspect.isclass(found) and is_set_by(found, attribute))


PYTHON_ATTRIBUTES = {"_abc_impl"}
"""Private attributes that Python sets on a class."""


def test_every_private_name_that_a_trainer_overrides_is_listed():
    import trl

    from rlhf_losses import PPOTrainer, RewardTrainer

    listed = {upstream_name.name.rsplit(".", 1)[-1] for upstream_name in UPSTREAM_NAMES}
    for ours, theirs in ((RewardTrainer, trl.RewardTrainer), (PPOTrainer, trl.GRPOTrainer)):
        classes = [cls for cls in ours.__mro__ if cls.__module__.startswith("rlhf_losses.")]
        private = {name for cls in classes for name in vars(cls) if name.startswith("_") and not name.startswith("__")}
        assert {name for name in private if hasattr(theirs, name)} - PYTHON_ATTRIBUTES <= listed
