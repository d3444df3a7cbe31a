"""Trainers that fit estimators of scikit-learn, for comparison with networks."""
