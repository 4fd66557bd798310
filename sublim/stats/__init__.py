"""Statistics of transmission: numbers of runs set against each other. No model, no torch."""
