//! Applications of containers among those of the host's menus.
//!
//! | module | what |
//! |---|---|
//! | [`guest`] | what applications a container has, as its agent reads them |
//! | [`survey`] | what applications the host has |
//! | [`packages`] | of which package each is |
//! | [`compose`] | the files that the host gets for one |
//! | [`place`] | writing them, and taking them back |
//! | [`caches`] | telling the desktop |
//! | [`export`] | all of it: for what was named, what was installed, what is to be renewed |

mod caches;
mod compose;
pub mod export;
pub mod guest;
mod packages;
mod place;
mod survey;

pub use place::take_back;
