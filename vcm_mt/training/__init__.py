"""What stands around a Runner: configs, work dirs, rehearsal, and how a training ends."""
