"""The host side: a project's plugins, resolved, locked, installed, upgraded, rolled back. `Installer` is its API."""
