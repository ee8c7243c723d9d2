"""When it happens: sources, passes, schedules and the command line."""
