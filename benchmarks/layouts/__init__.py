"""Run time and memory of training and scoring in each layout."""
