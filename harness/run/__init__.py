"""Running: plans become samples on disk, in child processes; nothing is judged here."""
