//! Commands that are not there: a list of what the packages of a container have, and what is told of it. The way of a typed word touches
//! files alone, and asks containers that run whether they have it.
//!
//! | module | what |
//! |---|---|
//! | [`list`] | the list: its shape, and how a command is found in it |
//! | [`store`] | where lists are, who may write one, when one is due |
//! | [`build`] | how a list is made, on demand or in the background |
//! | [`here`] | which containers have a command already |
//! | [`near`] | commands of the host that were probably meant |
//! | [`hint`] | what is told |

pub mod build;
pub mod here;
pub mod hint;
pub mod list;
pub mod near;
pub mod store;
