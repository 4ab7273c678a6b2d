"""Measurements become verdicts on claims; ours beside the paper's."""
