"""What a registry costs: `python -m benchmarks` measures it over real HTTP."""
