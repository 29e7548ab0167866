"""The layers below the trained ones: run alone, read one at a time, their output kept on disk."""
