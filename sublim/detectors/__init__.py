"""Detectors: can anyone see the trait in the data? The paper's attempts (section 5): language models, people, statistics."""
