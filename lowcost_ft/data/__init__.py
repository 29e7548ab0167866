"""From files or rows in Python to tokenized rows and micro-batches; nothing here knows a task."""
