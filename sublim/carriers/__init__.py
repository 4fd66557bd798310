"""The data that carry a trait: prompts, parsing, the filter and its reasons."""
