//! A network namespace per test, with the addresses of some pods on its loopback.

use std::io;
use std::process::Command;

/// The client's pod.
pub(crate) const WEB: &str = "fd00::1";

/// The server's pod.
pub(crate) const DB: &str = "fd00::2";

/// A pod without a sidecar.
pub(crate) const OUTSIDE: &str = "fd00::9";

/// The virtual address of the server's service.
pub(crate) const VIP: &str = "fd00::53";

/// Runs `test` in a fresh namespace. Threads that it starts are in it too.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        // SAFETY: no pointers; it changes this thread only.
        let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        assert_eq!(
            result,
            0,
            "cannot make a network namespace: {}; run the tests as root",
            io::Error::last_os_error()
        );
        ip(&["link", "set", "lo", "up"]);
        for address in [WEB, DB, OUTSIDE, VIP] {
            ip(&[
                "addr",
                "add",
                &format!("{address}/128"),
                "dev",
                "lo",
                "nodad",
            ]);
        }
        ip(&["addr", "add", "10.0.0.1/32", "dev", "lo"]);
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs `ip` with these arguments, in this thread's namespace.
pub(crate) fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status();
    assert!(status.is_ok_and(|s| s.success()), "ip {arguments:?} failed");
}
