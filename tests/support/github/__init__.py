"""A double of GitHub's REST API over bare Git repositories, checked against GitHub's own description of that API."""
