//! Containers as Incus keeps them.
//!
//! | module | what |
//! |---|---|
//! | [`console`] | what a guest's console has shown |
//! | [`expected`] | those that are being made |
//! | [`lookup`] | whose they are: what is found for an owner and what does not exist for him |
//! | [`network`] | whether the network of one that runs works |
//! | [`occasions`] | what each snapshot was taken before |
//! | [`present`] | the configuration of one whose disk is going back to a snapshot |
//! | [`record`] | what is kept of each one's past |
//! | [`view`] | what a client sees of one |

pub mod console;
pub mod expected;
pub mod lookup;
pub mod network;
pub mod occasions;
pub mod present;
pub mod record;
pub mod view;
