"""Files that a worker leaves in its attempt's folder, beside those of `result_writer`."""

CHECKPOINT = "checkpoint.npz"

MODEL = "model.npz"
"""The trained network."""

EVIDENCE = "evidence.json"
"""What an audit probe measured."""

RATES = "rates.json"
"""Seconds of layers, of a job that only times them."""
