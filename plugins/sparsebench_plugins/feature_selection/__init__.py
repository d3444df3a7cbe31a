"""Feature selection: finds the inputs that a network relies on, and tests other classifiers on
them."""
