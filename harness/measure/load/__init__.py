"""Load generation: arrivals, closed and open loops, and the HTTP client that records each request."""
