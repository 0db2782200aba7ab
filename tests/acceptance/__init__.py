"""Black-box acceptance tests: they drive a running server as its users do, and import nothing of the application."""
