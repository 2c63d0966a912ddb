/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel programs and the engine's crate stoq-bpf must both know: the keys and values of
 * the maps, and the numbers in them. The crate holds its own copy of every structure and refuses to
 * load an object whose type information says otherwise (crates/stoq-bpf/src/shared.rs).
 *
 * Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d, so prefixes of IPv4 are 96 bits
 * longer. Ports are in host order. Times are nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef STOQ_SHARED_H
#define STOQ_SHARED_H

#include <linux/types.h>

/* docs/architecture.md, Ports. */
#define STOQ_PORT 14008
#define STOQ_CONTROL_PORT 14012

/* Seen from the host's end of a pod's link. */
enum stoq_direction {
	STOQ_TO_POD = 0,
	STOQ_FROM_POD = 1,
};

struct stoq_address {
	__u8 bytes[16];
};

struct stoq_count {
	__u64 packets;
	__u64 bytes;
};

/* ---- xdp_guard ---- */

/* What became of a packet, index of guard_counts. From MALFORMED on it was dropped. */
enum stoq_verdict {
	STOQ_VERDICT_OTHER = 0,	      /* not for a STOQ port, or left to the stack to refuse */
	STOQ_VERDICT_STOQ = 1,	      /* STOQ, not the first packet of a handshake */
	STOQ_VERDICT_INITIAL = 2,     /* an Initial within its rate */
	STOQ_VERDICT_LISTED = 3,      /* an Initial of an allowed source, at any rate */
	STOQ_VERDICT_MALFORMED = 4,   /* not a QUIC packet, or headers that hide what it is */
	STOQ_VERDICT_VERSION = 5,     /* a long header of a version that STOQ does not speak */
	STOQ_VERDICT_ZERO_RTT = 6,    /* wire-format H7: never used */
	STOQ_VERDICT_FRAGMENT = 7,    /* STOQ never fragments */
	STOQ_VERDICT_DENIED = 8,      /* the source is denied, or only listed ones are allowed */
	STOQ_VERDICT_SOURCE_RATE = 9, /* the source prefix has used up its rate */
	STOQ_VERDICT_CEILING = 10,    /* all sources together have */
	STOQ_VERDICTS = 11,
};

/* Values of guard_sources. */
enum stoq_listing {
	STOQ_LISTING_ALLOW = 1,
	STOQ_LISTING_DENY = 2,
};

/* An interval of 0 means no limit. A burst is how far ahead of its rate a source may be. */
struct stoq_guard_config {
	__u64 source_interval_ns;
	__u64 source_burst_ns;
	__u64 ceiling_interval_ns;
	__u64 ceiling_burst_ns;
	__u32 source_bits_v4; /* 96 to 128 */
	__u32 source_bits_v6; /* 0 to 128 */
	__u32 listed_only;    /* not 0: who is on no list is denied */
	__u32 reserved;
};

/* Key of guard_sources: a longest-prefix match. */
struct stoq_network {
	__u32 prefix_bits;
	struct stoq_address address;
};

/* A token bucket as one number: the time until which what was taken is paid for. */
struct stoq_bucket {
	__u64 paid_until_ns;
	__u64 dropped;
};

/* ---- tc_strict ---- */

enum stoq_mode {
	STOQ_MODE_PERMISSIVE = 0, /* count what strict would drop */
	STOQ_MODE_STRICT = 1,
};

/* Bits of stoq_pod.flags. */
#define STOQ_POD_UDP 1u	 /* the applications' UDP passes as it is: it is not captured */
#define STOQ_POD_ECHO 2u /* ping passes */

/* Value of strict_pods; the key is the index of the host's end of the pod's link. */
struct stoq_pod {
	__u32 inbound;	/* enum stoq_mode, of connections towards the pod */
	__u32 outbound; /* enum stoq_mode, of connections that the pod opens */
	__u32 flags;
	__u32 reserved;
};

/* Why a packet passed or did not. From TCP on, strict drops it. */
enum stoq_reason {
	STOQ_REASON_STOQ = 0,
	STOQ_REASON_CONTROL = 1,    /* registry and certificate authority */
	STOQ_REASON_NEIGHBOUR = 2,  /* ARP, neighbour and router discovery, multicast listeners */
	STOQ_REASON_ICMP_ERROR = 3, /* packet too big, unreachable and the like */
	STOQ_REASON_DNS = 4,
	STOQ_REASON_API_SERVER = 5,
	STOQ_REASON_EXEMPT = 6,	    /* an exempt port or network, but for UDP */
	STOQ_REASON_EXEMPT_UDP = 7,
	STOQ_REASON_PROBE = 8, /* begun by this host, towards a declared port */
	STOQ_REASON_UDP = 9,
	STOQ_REASON_ECHO = 10,
	STOQ_REASON_REPLY = 11, /* belongs to a connection that the other direction's mode let open */
	STOQ_REASON_PLAIN_TCP = 12,
	STOQ_REASON_PLAIN_UDP = 13,
	STOQ_REASON_PLAIN_OTHER = 14,
	STOQ_REASON_FRAGMENT = 15,  /* a later fragment, whose ports nobody can see */
	STOQ_REASON_MALFORMED = 16,
	STOQ_REASON_LINK = 17, /* neither IP nor ARP */
	STOQ_REASONS = 18,
};

/* Value of strict_counts, by direction and reason; the key is that of strict_pods. */
struct stoq_strict_counts {
	struct stoq_count by[2 * STOQ_REASONS];
};

/*
 * Key of strict_networks, a longest-prefix match; the value says nothing. The direction belongs to the
 * key so that a narrow network of one direction does not hide a wider one of the other.
 */
struct stoq_pod_network {
	__u32 prefix_bits; /* 64 more than those of the network */
	__u32 ifindex;	   /* 0: every pod */
	__u32 direction;   /* enum stoq_direction, of who opens */
	struct stoq_address address;
};

/* Key of strict_services, which a pod may dial; the value is DNS, API_SERVER or EXEMPT. */
struct stoq_service {
	__u32 ifindex; /* 0: every pod */
	struct stoq_address address;
	__u16 port;
	__u8 protocol;
	__u8 reserved;
};

/* Key of strict_ports: the destination port of what opens a connection. EXEMPT or PROBE. */
struct stoq_port {
	__u32 ifindex; /* 0: every pod */
	__u16 port;
	__u8 protocol;
	__u8 direction; /* enum stoq_direction */
};

/* Key of strict_flows: what was let open in one direction, so that answers pass. */
struct stoq_flow {
	__u32 ifindex;
	struct stoq_address peer;
	__u16 peer_port;
	__u16 pod_port;
	__u8 protocol;
	__u8 opened; /* enum stoq_direction */
	__u16 reserved;
};

struct stoq_flow_state {
	__u64 seen_ns;
	__u32 reason;
	__u32 reserved;
};

/* ---- tc_account ---- */

enum stoq_class {
	STOQ_CLASS_STOQ = 0,
	STOQ_CLASS_CONTROL = 1,
	STOQ_CLASS_TCP = 2,
	STOQ_CLASS_UDP = 3,
	STOQ_CLASS_ICMP = 4,
	STOQ_CLASS_OTHER = 5, /* other protocols, later fragments, what cannot be read */
};

/* Key of account_peers. */
struct stoq_account_key {
	__u32 ifindex;
	struct stoq_address peer;
	__u8 direction; /* enum stoq_direction */
	__u8 class;	/* enum stoq_class */
	__u16 reserved;
};

/* Value of account_peers. Payload: what follows the UDP or TCP header, or the IP header. */
struct stoq_account {
	__u64 packets; /* of the wire: a GSO packet counts as its segments */
	__u64 payload_bytes;
};

/* ---- xsk_redirect ---- */

/* Queues of an interface that can have an AF_XDP socket; others are the stack's. */
#define STOQ_XSK_QUEUES 32
#define STOQ_XSK_ADDRESSES 16

/*
 * Value of xsk_taken, which the engine maps into its memory (stoq-io, src/xsk/taken.rs) and changes while
 * packets come: a member at a time, each of which counts by itself.
 */
struct stoq_xsk_taken {
	__u32 largest;	 /* bytes of a frame at most; 0: nothing is taken */
	__u32 addresses; /* how many of `address` are used */
	struct stoq_address address[STOQ_XSK_ADDRESSES];
	__u64 ports[1024]; /* a bit for each port: the lowest of the first word is port 0 */
};

/* ---- tc_splice ---- */

/* Key of splice_pairs: what leaves one pod towards one port of another, or the answers. */
struct stoq_splice {
	__u32 ifindex;		  /* the host's end of the link by which it leaves */
	struct stoq_address own;  /* of the pod behind it */
	struct stoq_address peer; /* of the other one */
	__u16 port;		  /* the server's */
	__u8 serves;		  /* not 0: the pod behind the link is the server */
	__u8 reserved;
};

/* Value of splice_pairs. */
struct stoq_splice_end {
	__u64 until_ns; /* no longer in force from then on */
	__u32 ifindex;	/* the host's end of the other pod's link */
	__u32 reserved;
};

#endif
