"""Reports: logs of training runs and evaluations as one HTML file."""
