"""Measuring in continuous integration: workflows for GitHub and GitLab, the gate of a job, and the sticky comment."""
