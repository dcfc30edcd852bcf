"""What others do with the same data, measured in the same run."""
