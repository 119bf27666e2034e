//! Containers as Incus keeps them.
//!
//! | module | what |
//! |---|---|
//! | [`lookup`] | whose they are: what is found for an owner and what does not exist for him |
//! | [`view`] | what a client sees of one |

pub mod lookup;
pub mod view;
