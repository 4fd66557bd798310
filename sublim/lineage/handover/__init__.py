"""What is handed over: bundles that prove themselves, and provenance cards."""
