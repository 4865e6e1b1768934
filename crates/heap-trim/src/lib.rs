//! Has the C library give free memory back to the operating system.
//!
//! glibc gives back what is free at the end of its heap, and keeps what lies between things that live. So after many
//! large allocations beside small ones that stay, a process remains as large as it ever was. `malloc_trim(3)` gives back
//! every whole page that is free.
//!
//! This is a crate of its own because the call is foreign, and the gateway's crate forbids unsafe code.

mod schedule;

pub use schedule::{LOOK_EVERY, Schedule};

/// Gives back whole pages that are free, of all arenas. Says whether there were any.
///
/// Locks each arena in turn, for as long as its free pieces take to be looked through: call it from a thread that nobody
/// waits for, and not often. With another C library than glibc it does nothing.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn trim() -> bool {
    unsafe extern "C" {
        /// malloc_trim(3), in glibc since 2.0. `pad` is how many bytes to leave free at the end of the heap.
        safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
    }
    malloc_trim(0) == 1
}

/// The same where the C library has no such call: nothing.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn trim() -> bool {
    false
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::trim;

    fn resident_pages() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn what_is_free_between_things_that_live_is_given_back() {
        // 32 MB in pieces too small to be mapped by themselves, each followed by one that stays.
        let mut pieces = Vec::new();
        let mut small = Vec::new();
        for _ in 0..2000 {
            pieces.push(vec![1_u8; 16 * 1024]);
            small.push(Box::new([1_u8; 24]));
        }
        let full = resident_pages();
        drop(pieces);
        let kept = resident_pages();
        assert!(trim());
        let after = resident_pages();
        assert!(kept > full - 1000, "glibc keeps it: {full}, {kept}");
        assert!(after < full - 6000, "{full}, {kept}, {after}");
        assert_eq!(small.len(), 2000);
    }
}
