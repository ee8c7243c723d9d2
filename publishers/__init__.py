"""What readers get: feeds, pages, digests and mail, made from what the archive holds."""
