"""Numbers, units and names as people read them."""
