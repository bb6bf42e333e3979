"""The command `rlhf-losses`: one file a command, imported only when that command runs."""
