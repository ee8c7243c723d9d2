"""Real feed readers, driven without a screen: each is let read the replayed feeds and asked what it holds."""
