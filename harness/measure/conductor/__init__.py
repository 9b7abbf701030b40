"""The process that starts workers, schedules blocks and collects what they return."""
