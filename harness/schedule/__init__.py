"""Runs by the clock: jobs, the daemon that starts each as a process of its own, alerts, retention, the dashboard."""
