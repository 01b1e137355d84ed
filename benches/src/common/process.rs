//! What this process takes of the machine, from `/proc/self`: memory and processor time. Linux only.

use std::fs;
use std::time::Duration;

/// Kernel ticks a second in `/proc`, on every architecture that we run on.
const TICKS_PER_S: u64 = 100;

/// Resident memory in bytes (`VmRSS`).
pub fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

/// Gives what the allocator holds free back to the kernel, so that the next look at the resident memory
/// does not show what an earlier run left behind.
pub fn release_free_memory() {
    // SAFETY: `malloc_trim` takes a number and may be called at any time from any thread.
    #[allow(unsafe_code)]
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Processor time that all threads of this process have used, in user and kernel mode.
pub fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux has it");
    // The second field is a name in brackets, which may hold blanks.
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1_000 / TICKS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_takes_memory_and_time() {
        assert!(resident_bytes() > 100 * 1024);
        let before = cpu_time();
        while cpu_time() == before {
            std::hint::black_box(resident_bytes());
        }
    }
}
