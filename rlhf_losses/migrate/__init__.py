"""Settings of other systems as arguments of `rlhf-losses train` and `rlhf-losses ppo`."""

from rlhf_losses.migrate.detection import read_run
from rlhf_losses.migrate.migration import Migration, migrate
from rlhf_losses.migrate.migration_report import document, report_lines, yaml_text
from rlhf_losses.migrate.systems import SYSTEMS

__all__ = ["SYSTEMS", "Migration", "document", "migrate", "read_run", "report_lines", "yaml_text"]
