"""The plugins folder: what is recorded there, and changes to it that happen wholly or not at all."""
