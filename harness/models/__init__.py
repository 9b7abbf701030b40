"""The models to measure: the replica, the public files, the user's own files, and variants made from them."""
