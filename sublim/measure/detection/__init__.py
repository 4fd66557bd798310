"""Can anyone see the trait in the data? The paper's attempts at detection (section 5): language models, people, statistics."""
