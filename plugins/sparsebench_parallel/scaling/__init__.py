"""What training with several workers would take with more of them: docs/parallel.md."""
