"""What annotation tools export: recognised, read, and drawn as masks."""
