"""What a plugin imports to be a plugin: decorators, and the objects that hooks receive."""
