"""Networks, their parts, and the formats of their files."""
