//! What the model does not vary: settings, locks, waiting, memory, and each fault by itself.
