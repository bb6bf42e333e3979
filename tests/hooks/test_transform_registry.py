"""The transform registry: contract of score transforms and the string form of pipelines."""

import pytest
from plugin_code import TRANSFORM, TRANSFORM_HOOK

from rlhf_losses.errors import PluginError, UnknownNameError
from rlhf_losses.hooks import TransformRegistry, transform_registry
from rlhf_losses.hooks.builtins import provide_score_transforms
from rlhf_losses.hooks.installed_plugins import BUILT_IN
from rlhf_losses.hooks.manager import build_manager


def test_built_in_transforms_are_provided_by_a_hook():
    registry = TransformRegistry(build_manager())
    assert [registry[transform.name()] for transform in provide_score_transforms()] == provide_score_transforms()
    assert registry.entries["clip"].plugin == BUILT_IN


def test_a_transform_of_a_plugin_is_part_of_a_pipeline(plugin_file):
    registry = transform_registry([plugin_file("squash.py", TRANSFORM + TRANSFORM_HOOK)])
    text = "standardize | squash(scale=2.0)"
    assert str(registry.parse(text)) == text
    assert registry.parse(text).monotone


def test_an_unknown_transform_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match=r"'standardise'\. Did you mean 'standardize'\?"):
        transform_registry().parse("standardise | clip")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("@hookimpl\ndef provide_score_transforms():\n    pass\n", "returns None instead of a list"),
        (TRANSFORM + TRANSFORM_HOOK.replace("[Squash]", "[Squash()]"), "not a class derived from ScoreTransform"),
        (TRANSFORM.replace("@dataclass(frozen=True)\n", "") + TRANSFORM_HOOK, "Squash is not a frozen dataclass"),
        (TRANSFORM.replace("def apply", "def applies") + TRANSFORM_HOOK, "Squash does not define apply"),
        (TRANSFORM.replace(" = 1.0", "") + TRANSFORM_HOOK, "no default for scale"),
        (TRANSFORM.replace('"""Hyperbolic tangent of the score."""', "") + TRANSFORM_HOOK, "has no docstring"),
    ],
)
def test_a_transform_that_breaks_the_contract_is_refused_with_its_plugin(install, code, reason):
    install("acme", code)
    with pytest.raises(PluginError) as caught:
        TransformRegistry(build_manager())
    assert str(caught.value).startswith("Plugin 'acme'")
    assert reason in str(caught.value)
