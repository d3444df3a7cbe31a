"""Predicts training with more workers than were measured: docs/parallel.md."""
