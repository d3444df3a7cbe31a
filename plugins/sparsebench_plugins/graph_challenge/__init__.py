"""The Graph Challenge of sparse deep networks: inference through many layers of fixed weights."""
