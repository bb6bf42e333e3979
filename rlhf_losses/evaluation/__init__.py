"""Statistics of scored rows: accuracy with intervals and by slice, calibration, length dependence, suites."""
