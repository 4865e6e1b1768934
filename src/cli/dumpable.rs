//! Keeps the process's memory, which holds a private key and tokens, out of core dumps and from other processes of the
//! same user.

use super::print_warning;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

/// Disables core dumps, and `/proc/PID/mem`, `environ` and ptrace for all but root (prctl(2), `PR_SET_DUMPABLE`).
pub(super) fn off() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        print_warning(&format!(
            "the process's memory can't be kept out of core dumps: {error}"
        ));
    }
}
