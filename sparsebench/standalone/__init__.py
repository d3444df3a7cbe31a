"""Writes a trained network as one Python or C file that predicts without any library."""
