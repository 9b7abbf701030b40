"""Bisections: which version, commit or package between good and bad changed a metric."""
