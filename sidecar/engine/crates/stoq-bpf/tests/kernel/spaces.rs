//! Network namespaces made for a test: each is a thread of its own, and goes with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use stoq_bpf::Pins;

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network and a mount namespace of its own.
pub(crate) struct Space {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    id: i32,
}

impl Space {
    pub(crate) fn new() -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (ready, id) = mpsc::channel();
        let thread = thread::spawn(move || {
            // SAFETY: the call changes this thread's namespaces and touches no memory.
            let done = unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) };
            assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
            call("mount --make-rprivate /");
            call("ip link set lo up");
            // SAFETY: the call has no arguments and cannot fail.
            ready.send(unsafe { libc::gettid() }).unwrap();
            queue.into_iter().for_each(|job| job());
        });
        Self {
            jobs: Some(jobs),
            thread: Some(thread),
            id: id.recv().unwrap(),
        }
    }

    /// Runs `job` in the namespace; a panic in it is one here.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let job = Box::new(move || {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            done.send(outcome).unwrap();
        });
        self.jobs.as_ref().unwrap().send(job).unwrap();
        match result.recv().unwrap() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Links the caller's namespace (`here`, 10.9.`net`.1) with this one (`there`, 10.9.`net`.2).
    pub(crate) fn link(&self, here: &str, net: u8) -> u32 {
        let id = self.id;
        call(&format!(
            "ip link add {here} type veth peer name there netns {id}"
        ));
        call(&format!("ip address add 10.9.{net}.1/24 dev {here}"));
        call(&format!("ip link set {here} up"));
        self.run(move || {
            call(&format!("ip address add 10.9.{net}.2/24 dev there"));
            call("ip link set there up");
            call(&format!("ip route add default via 10.9.{net}.1"));
        });
        index(here)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs a command, which must succeed, in the namespaces of the calling thread.
pub(crate) fn call(command: &str) {
    let mut words = command.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).status();
    assert!(status.unwrap().success(), "{command}");
}

pub(crate) fn index(interface: &str) -> u32 {
    let name = std::ffi::CString::new(interface).unwrap();
    // SAFETY: the name ends with a zero and lives until the call returns.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    assert_ne!(index, 0, "{interface}");
    index
}

/// A bpffs of a test's own, mounted in the calling thread's namespace.
pub(crate) struct Bpffs(PathBuf);

impl Bpffs {
    pub(crate) fn mount() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("stoq-bpf-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        call(&format!("mount -t bpf bpf {}", path.display()));
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn pins(&self) -> Pins {
        Pins::open(self.0.join("stoq")).unwrap()
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}
