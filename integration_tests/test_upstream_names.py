"""Every upstream name that we rely on is there, in the installed TRL and transformers."""

import importlib
import inspect
import re

import pytest

from rlhf_losses.upstream import UPSTREAM_NAMES


def resolve(name):
    """Return the module, class or function that a dotted name stands for."""
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
    """Return whether a method of a class, or of one it inherits from, gives the attribute to its instances."""
    sources = (inspect.getsource(cls) for cls in owner.__mro__ if cls is not object)
    return any(re.search(rf"self\.{attribute}\b[^=\n]*=[^=]", source) for source in sources)


@pytest.mark.parametrize("seam", UPSTREAM_NAMES, ids=lambda seam: seam.name)
def test_the_seam_exists(seam):
    owner, _, attribute = seam.name.rpartition(".")
    assert hasattr(resolve(owner), attribute) or is_set_by(resolve(owner), attribute), seam.why


def test_no_seam_is_listed_twice():
    names = [seam.name for seam in UPSTREAM_NAMES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["trl.GRPOTrainer._no_such_method", "trl.no_such_function"])
def test_a_name_that_is_gone_is_noticed(name):
    owner, _, attribute = name.rpartition(".")
    found = resolve(owner)
    assert not hasattr(found, attribute)
    assert not (inspect.isclass(found) and is_set_by(found, attribute))


CLASS_FACTS = {"_abc_impl"}
"""Private attributes of a class that are not TRL's."""


def test_every_private_name_that_a_trainer_overrides_is_listed():
    import trl

    from rlhf_losses import PPOTrainer, RewardTrainer

    listed = {seam.name.rsplit(".", 1)[-1] for seam in UPSTREAM_NAMES}
    for ours, theirs in ((RewardTrainer, trl.RewardTrainer), (PPOTrainer, trl.GRPOTrainer)):
        classes = [cls for cls in ours.__mro__ if cls.__module__.startswith("rlhf_losses.")]
        private = {name for cls in classes for name in vars(cls) if name.startswith("_") and not name.startswith("__")}
        assert {name for name in private if hasattr(theirs, name)} - CLASS_FACTS <= listed
