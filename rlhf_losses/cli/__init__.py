"""The command `rlhf-losses`: one file per command, imported only when that command runs."""
