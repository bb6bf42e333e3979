"""Every estimate by name, each from a plugin."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pluggy

from rlhf_losses.errors import PluginError, UnknownNameError, did_you_mean
from rlhf_losses.hooks.manager import BLOCK, build_manager
from rlhf_losses.hooks.registry import provided, require_contract, where
from rlhf_losses.losses.parser import parse_call
from rlhf_losses.transforms.estimate import ScoreEstimate


class EstimateRegistry(Mapping[str, type[ScoreEstimate]]):
    """Names to classes of estimates, in the order in which plugins provide them."""

    def __init__(self, manager: pluggy.PluginManager) -> None:
        self.classes: dict[str, type[ScoreEstimate]] = {}
        self.plugins: dict[str, str] = {}
        for plugin_name, plugin in manager.list_name_plugin():
            for estimate in provided(manager, "provide_score_estimates", plugin_name, plugin):
                self._add(estimate, plugin_name)

    def __getitem__(self, name: str) -> type[ScoreEstimate]:
        return self.classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def called(self, name: str) -> type[ScoreEstimate]:
        """Return the class of the estimate with that name."""
        if name not in self:
            known = f"The estimates are: {', '.join(self)}." if self else "No plugin that is installed provides one."
            raise UnknownNameError(
                f"No estimate is called '{name}'.{did_you_mean(name, self)} {known} "
                "Install the plugin that provides it, or give its file: --plugin FILE.py"
            )
        return self[name]

    def parse(self, text: str) -> ScoreEstimate:
        """Return the estimate that `text` names, like 'laplace(prior_precision=2.0)'."""
        self.called(text.partition("(")[0].strip())
        return parse_call(text, self)

    def _add(self, estimate: Any, plugin: str) -> None:
        require_contract(estimate, plugin, ScoreEstimate, "provide_score_estimates")
        name = estimate.name()
        if name in self.classes:
            raise PluginError(
                f"Two plugins provide an estimate called '{name}': {where(self[name])} (plugin {self.plugins[name]}) "
                f"and {where(estimate)} (plugin {plugin}). Rename one, or leave a plugin out: {BLOCK}={plugin}."
            )
        self.classes[name], self.plugins[name] = estimate, plugin


def estimates(plugin_files: Iterable[str | Path] = ()) -> EstimateRegistry:
    """Return every estimate; they are gathered once for each set of plugin files."""
    return _estimates(tuple(str(Path(file)) for file in plugin_files))


@functools.cache
def _estimates(plugin_files: tuple[str, ...]) -> EstimateRegistry:
    return EstimateRegistry(build_manager(plugin_files))
