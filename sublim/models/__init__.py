"""Where weights come from: tiny families trained here, Hugging Face directories."""
