"""Building the website and checking what was built."""
