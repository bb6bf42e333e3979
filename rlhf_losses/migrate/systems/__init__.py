"""Tables of the settings of other systems, one file per system."""

from collections.abc import Mapping

from rlhf_losses.migrate.rules import System
from rlhf_losses.migrate.systems import (
    from_axolotl,
    from_llama_factory,
    from_ms_swift,
    from_openrlhf_ppo,
    from_openrlhf_rm,
    from_trl,
)

SYSTEMS: Mapping[str, System] = {
    one.key: one
    for one in (
        *from_trl.SYSTEMS,
        *from_openrlhf_rm.SYSTEMS,
        *from_openrlhf_ppo.SYSTEMS,
        *from_llama_factory.SYSTEMS,
        *from_axolotl.SYSTEMS,
        *from_ms_swift.SYSTEMS,
    )
}
"""All systems with their commands, by key."""
