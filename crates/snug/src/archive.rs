//! Tar streams to and from a guest.
