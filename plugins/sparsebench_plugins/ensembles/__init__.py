"""Trainers that make several networks in one training."""
