"""What keeps catalogues and code together."""
