"""Optional dependencies."""

import importlib.util
from collections.abc import Iterable

from rlhf_losses.errors import MissingPackageError


def require_packages(packages: Iterable[str], feature: str, extra: str = "report") -> None:
    """Raise `MissingPackageError` unless the optional packages of a feature are installed.

    Args:
        packages: names of modules.
        feature: name of the feature, for the message.
        extra: the extra of this package that installs the modules.

    Examples:
        >>> require_packages(["json"], "rlhf-losses demo")
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise MissingPackageError(
            f"{feature} needs packages that are not installed: {', '.join(missing)}. "
            f"Run: pip install 'rlhf-losses[{extra}]'"
        )
