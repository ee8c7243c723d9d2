"""A model of the archive in plain dicts, and the machine that runs both side by side: random steps, kills, losses."""
