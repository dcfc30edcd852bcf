"""Versions that publishers put on releases of their own repositories, brought to the registrar."""
