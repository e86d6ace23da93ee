"""Teachwhy against its peers, on the same rows, prompts and model: `python -m bench --out bench/results.json`."""
