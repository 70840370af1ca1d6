"""Mail: what it is, how it is sent once, and where it stays without a mail server."""
