//! Returns free heap memory to the operating system.
//!
//! glibc returns free memory at the end of its heap, but not between live allocations. So after many large allocations
//! beside small ones that stay, a process keeps its peak size. `malloc_trim(3)` returns every whole page that is free.
//!
//! This is a crate of its own because it calls a foreign function, and the gateway's crate forbids unsafe code.

mod schedule;

pub use schedule::{CHECK_INTERVAL, Schedule};

/// Returns the free pages of all arenas to the operating system. Whether there were any.
///
/// It locks each arena in turn while it walks its free list: call it rarely, and from a background thread. With another
/// C library than glibc it does nothing.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn trim() -> bool {
    unsafe extern "C" {
        /// malloc_trim(3), in glibc since 2.0. `pad` is how many bytes to leave free at the end of the heap.
        safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
    }
    malloc_trim(0) == 1
}

/// Does nothing: this C library has no such function.
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
    fn free_memory_between_live_allocations_is_returned() {
        // 32 MB in allocations too small for mmap, each followed by one that stays.
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
        assert!(
            kept > full - 1000,
            "glibc returned it without trim: {full}, {kept}"
        );
        assert!(after < full - 6000, "{full}, {kept}, {after}");
        assert_eq!(small.len(), 2000);
    }
}
