//! What is measured, one file a theme.

mod entering;
mod idle;
mod load;
mod starting;
mod throughput;

use crate::report::Report;
use crate::subject::Subject;

/// A group of rows.
type Measure = fn(&Subject<'_>, &mut Report);

/// All groups, in the order of the table.
pub const ALL: &[(&str, Measure)] = &[
    ("entering a running container", entering::measure),
    ("starting and creating", starting::measure),
    ("throughput", throughput::measure),
    ("many clients at once", load::measure),
    ("idle", idle::measure),
];
