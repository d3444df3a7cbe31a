"""Data sets: three that ship with scikit-learn, three generated, all of data.json, any file."""
