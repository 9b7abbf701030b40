"""One view model per part of a page, computed from stored runs."""
