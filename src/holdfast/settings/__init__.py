"""What a user can write: typed, frozen, unknown keys refused; one file a catalogue."""
