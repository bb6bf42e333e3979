"""`python -m rlhf_losses` is the command `rlhf-losses`."""

import sys

from rlhf_losses.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
