"""What is done through GitHub's API. Without it, any Git remote will do."""
