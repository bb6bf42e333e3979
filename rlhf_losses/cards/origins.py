"""Where the model and the data of a run come from: repositories of the Hub or local folders, with their licences."""

import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import DatasetCard, ModelCard, try_to_load_from_cache
from huggingface_hub.constants import REPOCARD_NAME

HUB_ID = re.compile(r"(?!.*(--|\.\.))\w[\w.-]*(/\w[\w.-]*)?")
"""Form of the names of repositories on the Hub."""


@dataclass(frozen=True)
class Origin:
    """A model or a dataset that a run started from.

    Attributes:
        name: Hub id, or the last part of a local path, which says nothing about the machine.
        hub_id: Hub id, or None for a local one.
        licence: its licence as its card names it; None if it is unknown.
    """

    name: str
    hub_id: str | None
    licence: str | None

    @property
    def link(self) -> str:
        """Return the name as Markdown."""
        return f"`{self.name}` (local)" if self.hub_id is None else f"[{self.name}](https://huggingface.co/{self.name})"


def licence_sentence(base: Origin | None, dataset: Origin | None) -> str:
    """Return a sentence about the licences of the base and the data of a model.

    Args:
        base: the base, or None for one that was created in memory.
        dataset: the data, or None for data in memory.
    """
    known = [
        f"The {kind} {one.link} has the licence {one.licence}."
        for kind, one in (("base", base), ("dataset", dataset))
        if one is not None and one.licence is not None
    ]
    if base is None or base.licence is None:
        known.append("No licence of the base is known, and this card grants none.")
    return " ".join(known)


def origin_of_model(path: str) -> Origin:
    """Return the origin of a model.

    Args:
        path: folder or Hub id.
    """
    folder = Path(path)
    if folder.exists() or not HUB_ID.fullmatch(path):
        card = folder / REPOCARD_NAME
        return Origin(folder.resolve().name or path, None, _licence(ModelCard, card))
    return Origin(path, path, _cached_licence(ModelCard, path, "model"))


def origin_of_dataset(path: str) -> Origin:
    """Return the origin of a dataset.

    Args:
        path: file, folder, URL or Hub id.
    """
    local = Path(path)
    if local.exists() or not HUB_ID.fullmatch(path) or local.suffix:
        return Origin(local.name or path, None, _licence(DatasetCard, local / REPOCARD_NAME))
    found = _cached_licence(DatasetCard, path, "dataset")
    return Origin(path, path, found)


def _cached_licence(card: type[ModelCard | DatasetCard], repository: str, kind: str) -> str | None:
    """Return the licence in a card that was downloaded before; nothing is downloaded."""
    file = try_to_load_from_cache(repository, REPOCARD_NAME, repo_type=kind)
    return _licence(card, Path(file)) if isinstance(file, str) else None


def _licence(card: type[ModelCard | DatasetCard], file: Path) -> str | None:
    if not file.is_file():
        return None
    try:
        found = card(file.read_text(encoding="utf-8"), ignore_metadata_errors=True).data.get("license")
    except Exception:  # the card of another program can have any content
        return None
    return found if isinstance(found, str) else None
