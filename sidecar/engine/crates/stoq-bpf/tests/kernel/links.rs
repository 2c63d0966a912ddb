//! Programs on interfaces: what they do to real traffic, and that they outlive who attached them.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stoq_bpf::{
    Account, Attached, Class, Direction, Error, Guard, GuardMode, Permission, Reason, Stage,
    Strict, Verdict,
};

use crate::frames::{STOQ, initial, short};
use crate::spaces::{Bpffs, Space, call};
use crate::strict::STRICT;

/// How long nothing has to come for it to have been dropped.
const SILENCE: Duration = Duration::from_millis(500);

/// What comes may take longer: the first neighbour to be asked after a link came up may not hear it, and is
/// asked again after a second.
const PATIENCE: Duration = Duration::from_secs(20);

fn receiver(address: &str) -> UdpSocket {
    UdpSocket::bind(address).unwrap()
}

/// What comes, which is waited for.
fn awaited(socket: &UdpSocket) -> Option<usize> {
    within(PATIENCE, socket)
}

/// What has come after all, where nothing should.
fn received(socket: &UdpSocket) -> Option<usize> {
    within(SILENCE, socket)
}

fn within(patience: Duration, socket: &UdpSocket) -> Option<usize> {
    socket.set_read_timeout(Some(patience)).unwrap();
    match socket.recv(&mut [0; 2048]) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

/// Sends one datagram from this namespace.
fn send(space: &Space, to: &'static str, payload: Vec<u8>) {
    space.run(move || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.send_to(&payload, to).unwrap();
    });
}

fn counted(guard: &Guard, verdict: Verdict) -> u64 {
    let counts = guard.counts().unwrap();
    let found = counts.iter().find(|(of, _)| *of == verdict);
    found.unwrap().1.packets
}

#[test]
#[ignore = "needs CAP_SYS_ADMIN; hack/test netns runs it"]
fn the_guard_outlives_its_loader_and_is_exchanged_without_a_gap() {
    Space::new().run(|| {
        let (bpffs, outside) = (Bpffs::mount(), Space::new());
        let uplink = outside.link("uplink", 1);
        let pins = bpffs.pins();
        let mut guard = Guard::load(Stage::Tc, Some(&pins)).unwrap();
        assert_eq!(guard.attach(uplink, GuardMode::Tc).unwrap(), Attached::New);
        drop(guard);

        let socket = receiver("10.9.1.1:14008");
        send(&outside, "10.9.1.1:14008", short(20));
        assert_eq!(received(&socket), None);
        send(&outside, "10.9.1.1:14008", initial(1200));
        assert_eq!(awaited(&socket), Some(1200));

        // What the guard drops never arrives while it is exchanged again and again.
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, junk) = (stop.clone(), short(20));
        let sender = thread::spawn(move || {
            let sent = outside.run(move || {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                let mut sent = 0_u64;
                while !stopped.load(Ordering::Relaxed) && sent < 1_000_000 {
                    socket.send_to(&junk, "10.9.1.1:14008").unwrap();
                    sent += 1;
                }
                sent
            });
            (outside, sent)
        });
        let mut guard = Guard::load(Stage::Tc, Some(&pins)).unwrap();
        for _ in 0..5 {
            guard = Guard::load(Stage::Tc, Some(&pins)).unwrap();
            assert_eq!(
                guard.attach(uplink, GuardMode::Tc).unwrap(),
                Attached::Replaced
            );
        }
        stop.store(true, Ordering::Relaxed);
        let (outside, sent) = sender.join().unwrap();
        assert_eq!(received(&socket), None, "{sent} sent");
        assert_eq!(
            counted(&guard, Verdict::Malformed),
            sent + 1,
            "counters are taken over"
        );

        assert_eq!(pins.attached("tc_guard").unwrap(), [uplink]);
        guard.sweep().unwrap();
        assert!(guard.detach(uplink).unwrap());
        assert!(!guard.detach(uplink).unwrap());
        assert_eq!(pins.attached("tc_guard").unwrap(), []);
        // The kernel takes the program off when it has time.
        let arrived = (0..10).find_map(|_| {
            send(&outside, "10.9.1.1:14008", short(20));
            received(&socket)
        });
        assert_eq!(arrived, Some(20));
    });
}

#[test]
#[ignore = "needs CAP_SYS_ADMIN; hack/test netns runs it"]
fn a_link_whose_interface_is_gone_does_not_stand_in_the_way() {
    Space::new().run(|| {
        let bpffs = Bpffs::mount();
        let pins = bpffs.pins();
        let mut guard = Guard::load(Stage::Tc, Some(&pins)).unwrap();
        let add = || call("ip link add gone index 77 type veth peer name peer");
        add();
        assert_eq!(guard.attach(77, GuardMode::Tc).unwrap(), Attached::New);
        call("ip link delete gone");
        assert!(matches!(
            guard.attach(77, GuardMode::Tc),
            Err(Error::NoInterface(77))
        ));
        add();
        assert_eq!(guard.attach(77, GuardMode::Tc).unwrap(), Attached::New);
        assert_eq!(guard.attach(77, GuardMode::Tc).unwrap(), Attached::Replaced);
    });
}

#[test]
#[ignore = "needs CAP_SYS_ADMIN; hack/test netns runs it"]
fn a_pinned_map_of_another_shape_is_refused_by_name() {
    Space::new().run(|| {
        let bpffs = Bpffs::mount();
        let pins = bpffs.pins();
        drop(Guard::load(Stage::Tc, Some(&pins)).unwrap());
        let maps = std::fs::read_dir(bpffs.path().join("stoq/maps")).unwrap();
        let folder = maps.into_iter().next().unwrap().unwrap().path();
        std::fs::remove_file(folder.join("guard_counts")).unwrap();
        std::fs::rename(folder.join("guard_buckets"), folder.join("guard_counts")).unwrap();
        let error = Guard::load(Stage::Tc, Some(&pins)).unwrap_err();
        assert!(
            matches!(&error, Error::StalePin { path, .. } if path.ends_with("guard_counts")),
            "{error}"
        );
    });
}

#[test]
#[ignore = "needs CAP_SYS_ADMIN; hack/test netns runs it"]
fn without_a_bpffs_pinning_says_so_and_without_pins_nothing_is_attached() {
    Space::new().run(|| {
        let folder = std::env::temp_dir().join(format!("stoq-no-bpffs-{}", std::process::id()));
        let pins = stoq_bpf::Pins::open(&folder).unwrap();
        let error = Guard::load(Stage::Tc, Some(&pins)).unwrap_err().to_string();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(error.contains("guard_"), "{error}");
        let mut tried = Guard::load(Stage::Tc, None).unwrap();
        let error = tried.attach(1, GuardMode::Tc).unwrap_err().to_string();
        assert!(error.contains("without pins"), "{error}");
        assert!(!tried.detach(1).unwrap());
    });
}

fn dial(to: &str) -> bool {
    dial_for(to, SILENCE)
}

fn dial_for(to: &str, patience: Duration) -> bool {
    let to: SocketAddr = to.parse().unwrap();
    TcpStream::connect_timeout(&to, patience).is_ok()
}

#[test]
#[ignore = "needs CAP_SYS_ADMIN; hack/test netns runs it"]
fn a_strict_pod_is_probed_by_its_host_alone_and_stays_shut_without_an_agent() {
    Space::new().run(|| {
        let (bpffs, pod, client) = (Bpffs::mount(), Space::new(), Space::new());
        let link = pod.link("pod", 1);
        client.link("client", 2);
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        let _listening = pod.run(|| {
            let listen = |port: u16| TcpListener::bind(("0.0.0.0", port)).unwrap();
            [listen(8080), listen(9090)]
        });
        let forwarded = |to: &'static str| client.run(move || dial(to));
        // The links have just come up, and the first neighbour to be asked may not hear it.
        let open = || dial("10.9.1.2:9090") && forwarded("10.9.1.2:8080");
        assert!((0..20).any(|_| open()), "open before");

        let mut strict = Strict::load(Some(&bpffs.pins())).unwrap();
        strict.enrol(link, STRICT).unwrap();
        strict
            .permit(Some(link), Permission::Probe { port: 8080 })
            .unwrap();
        assert_eq!(strict.attach(link).unwrap(), Attached::New);
        drop(strict);

        assert!(dial_for("10.9.1.2:8080", PATIENCE), "a probe of this host");
        assert!(!dial("10.9.1.2:9090"), "another port");
        assert!(
            !forwarded("10.9.1.2:8080"),
            "a packet that the host forwards is no probe"
        );
        let socket = receiver("10.9.1.1:7777");
        send(&pod, "10.9.1.1:7777", vec![1; 9]);
        assert_eq!(received(&socket), None);
        let stoq = receiver(&format!("10.9.1.1:{STOQ}"));
        send(&pod, "10.9.1.1:14008", short(40));
        assert_eq!(awaited(&stoq), Some(40));

        let mut successor = Strict::load(Some(&bpffs.pins())).unwrap();
        assert_eq!(successor.attach(link).unwrap(), Attached::Replaced);
        assert!(!dial("10.9.1.2:9090"));
        let counts = successor.counts(link).unwrap().unwrap();
        let of = |direction, reason| {
            let of = |seen: &&stoq_bpf::Seen| seen.direction == direction && seen.reason == reason;
            counts.iter().find(of).unwrap().count.packets
        };
        assert!(of(Direction::ToPod, Reason::PlainTcp) >= 3);
        assert_eq!(of(Direction::FromPod, Reason::PlainUdp), 1);
        assert_eq!(of(Direction::FromPod, Reason::Stoq), 1);
        assert!(
            of(Direction::ToPod, Reason::Probe) > 0 && of(Direction::FromPod, Reason::Probe) > 0
        );
        assert!(successor.detach(link).unwrap());
        // The kernel takes the program off when it has time.
        let open = (0..10).any(|_| forwarded("10.9.1.2:8080"));
        assert!(open, "open again");
    });
}

#[test]
#[ignore = "needs CAP_SYS_ADMIN; hack/test netns runs it"]
fn accounts_agree_with_what_was_sent_also_of_what_strict_mode_drops() {
    Space::new().run(|| {
        let (bpffs, pod) = (Bpffs::mount(), Space::new());
        let link = pod.link("pod", 1);
        let mut strict = Strict::load(Some(&bpffs.pins())).unwrap();
        strict.enrol(link, STRICT).unwrap();
        strict.attach(link).unwrap();
        let mut account = Account::load(Some(&bpffs.pins())).unwrap();
        assert_eq!(account.attach(link).unwrap(), Attached::New);
        for _ in 0..3 {
            send(&pod, "10.9.1.1:7777", vec![1; 1000]);
        }
        send(&pod, "10.9.1.1:14008", short(40));
        let of = |class| {
            let of = |(key, _): &(stoq_bpf::AccountKey, _)| {
                (key.class, key.direction, key.ifindex) == (class, Direction::FromPod, link)
            };
            let (key, count) = account.read().unwrap().into_iter().find(of)?;
            assert_eq!(key.peer.to_string(), "10.9.1.1");
            Some((count.packets, count.payload_bytes))
        };
        // They wait at the pod until it knows its neighbour, and leave in turn.
        let until = Instant::now() + PATIENCE;
        while of(Class::Stoq).is_none() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(
            (of(Class::Udp), of(Class::Stoq)),
            (Some((3, 3000)), Some((1, 40)))
        );
        account.sweep().unwrap();
        strict.sweep().unwrap();
        assert!(account.detach(link).unwrap() && !account.detach(link).unwrap());
    });
}
