"""Servers that come with the product: the scripted one, which answers on loopback to a script, faults included."""
