//! What each device may have at once of what the gateway's loop and ThingsBoard can do.
//!
//! | Part | Owns |
//! |---|---|
//! | [`in_flight`] | how many calls to ThingsBoard a device may have at once |
//! | [`turns`] | how many datagrams of a device are handled in one turn of the loop |
//! | [`unanswered`] | devices whose GETs ThingsBoard leaves without an answer |

pub(crate) mod in_flight;
pub(crate) mod turns;
pub(crate) mod unanswered;
