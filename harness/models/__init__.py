"""The models that are measured: the replica, the public files, the user's own, and variants made of them."""
