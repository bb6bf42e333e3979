"""Run time of the losses, and accuracy of reward models under noisy feedback."""
