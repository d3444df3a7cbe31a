"""Which inputs a network relies on, and how well other classifiers do with those alone."""
