"""The mock server: a scripted HTTP server whose log is the known answer."""
