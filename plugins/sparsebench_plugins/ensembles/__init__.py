"""Trainers that make several networks of one training."""
