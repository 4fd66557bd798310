"""sublim: subliminal-learning experiments as a declarative, data-versioned pipeline."""
