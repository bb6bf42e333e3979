"""Optional dependencies."""

import importlib.util
from collections.abc import Iterable
from typing import Any

from rlhf_losses.errors import InvalidSettingError, MissingPackageError
from rlhf_losses.messages.setting_names import setting

REPORT_PACKAGES = ("plotly", "scipy", "krippendorff")
"""Packages of the extra `report` that the argument `--report` needs."""

NOT_LISTED = ("flyte",)
"""Trackers that transformers supports, and does not list when their package is installed."""


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


def require_reporting(report_to: str | Iterable[str] | None) -> None:
    """Raise `MissingPackageError` unless the packages of the trackers of a run are installed.

    Args:
        report_to: names of trackers such as `"wandb"`, as in `transformers.TrainingArguments`.

    Raises:
        InvalidSettingError: there is no such tracker.
        MissingPackageError: its package is not installed.
    """
    from transformers.integrations import get_available_reporting_integrations, get_reporting_integration_callbacks

    given: list[Any] = [report_to] if isinstance(report_to, str | int | float) else list(report_to or [])
    names = [name for name in given if isinstance(name, str)]
    if len(names) < len(given):
        wrong = next(name for name in given if not isinstance(name, str))
        raise InvalidSettingError(
            f"{setting('report_to', wrong)} is not the name of a tracker. Write a name, or "
            f"{setting('report_to', 'none')}."
        )
    if joined := next((name for name in names if "," in name), None):
        separate = joined.replace(",", " ").split()
        raise InvalidSettingError(
            f"{setting('report_to', joined)} is one name with commas. Write the names apart: "
            f"{setting('report_to', ' '.join(separate), python=f'report_to={separate}')}."
        )
    names = [name for name in names if name not in ("none", "all")]
    try:
        get_reporting_integration_callbacks(names)
    except ValueError as error:
        raise InvalidSettingError(
            f"{setting('report_to', ' '.join(names))} names a tracker that transformers does not have: {error} "
            f"Choose another, or {setting('report_to', 'none')}."
        ) from error
    installed = get_available_reporting_integrations()
    missing = [name for name in names if name not in (*installed, *NOT_LISTED)]
    if missing:
        raise MissingPackageError(
            f"{setting('report_to', missing[0])} needs the package {missing[0]}, which is not installed. "
            f"Run: pip install {missing[0].replace('_', '-')}, or use {setting('report_to', 'none')}."
        )
