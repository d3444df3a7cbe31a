"""What training with several workers would take with more of them: docs/scaling.md."""
