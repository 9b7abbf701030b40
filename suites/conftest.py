"""Excludes the Locust files from pytest: importing them replaces sockets and threads, as Locust requires."""

collect_ignore = ["locustfile.py", "locust_session.py"]
