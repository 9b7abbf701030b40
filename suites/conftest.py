"""What of this folder is pytest's: importing the locustfile changes sockets and threads, as Locust needs them."""

collect_ignore = ["locustfile.py", "locust_session.py"]
