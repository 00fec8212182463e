"""What the command line shows: lines and bars while work goes on; at its end summaries, tables and errors."""
