"""Estimators of scikit-learn as trials, for comparison with networks."""
