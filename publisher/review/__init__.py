"""Pull requests, judged as data by the code that the registrar runs."""
