"""The engine that measures a server over HTTP: requests, connections, dialects and audio decoders."""
