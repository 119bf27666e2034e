//! Containers as Incus keeps them.
//!
//! | module | what |
//! |---|---|
//! | [`expected`] | those that are being made |
//! | [`lookup`] | whose they are: what is found for an owner and what does not exist for him |
//! | [`view`] | what a client sees of one |

pub mod expected;
pub mod lookup;
pub mod view;
