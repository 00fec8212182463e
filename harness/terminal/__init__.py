"""What the door shows: lines and bars while work goes on, and at the end of work summaries, tables, errors in words."""
