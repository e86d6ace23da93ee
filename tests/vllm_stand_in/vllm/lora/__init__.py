"""As vLLM's package of this name."""
