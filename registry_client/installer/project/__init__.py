"""The project: plugins.toml and plugins.lock, read, edited, and what they say."""
