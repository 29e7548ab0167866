"""Metrics, intervals, confusions and decision thresholds."""
