"""What every layer uses and what depends on none of them: digests, files, Parquet, progress."""
