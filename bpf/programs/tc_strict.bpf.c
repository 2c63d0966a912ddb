// SPDX-License-Identifier: Apache-2.0
/*
 * Strict mode in the kernel: on the host's end of a pod's link, what is neither STOQ nor allowed in
 * the clear is dropped and counted, both ways, whoever in the pod is alive. docs/traffic-matrix.md
 * says what passes.
 *
 * A mode belongs to the direction in which a connection is opened, a packet to a direction of its
 * own. So what a direction lets pass opens a flow, and the answers pass because of the flow.
 *
 * A link that nobody enrolled is dropped too: the program is attached to pods of the mesh only, and
 * an entry that is missing is a fault that must not open a pod.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#define STOQ_CONTEXT struct __sk_buff
#define STOQ_LOAD(ctx, at, to, size) bpf_skb_load_bytes(ctx, at, to, size)
#define STOQ_LENGTH(ctx) (((struct __sk_buff *)(ctx))->len)
#include <stoq/parse.h>

#define DNS_PORT 53
/* RFC 4861, 7.1: a smaller hop limit means that it crossed a router. */
#define ON_LINK 255
/* How old a flow may look before it is written again: a write per packet would share its line. */
#define FRESH_NS 1000000000ull

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct stoq_pod);
} strict_pods SEC(".maps");

/* Made by the agent with the entry of strict_pods: a counter is never lost to a full map. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct stoq_strict_counts);
} strict_counts SEC(".maps");

/* Dropped on links without an entry, by direction. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct stoq_count);
} strict_unenrolled SEC(".maps");

/* Networks with which a pod speaks in the clear. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct stoq_pod_network);
	__type(value, __u32);
} strict_networks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct stoq_service);
	__type(value, __u32);
} strict_services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct stoq_port);
	__type(value, __u32);
} strict_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct stoq_flow);
	__type(value, struct stoq_flow_state);
} strict_flows SEC(".maps");

static __always_inline int icmp(const struct stoq_packet *p)
{
	__u8 type = p->icmp_type;

	if (p->family == 6) {
		if (type >= 1 && type <= 4)
			return STOQ_REASON_ICMP_ERROR;
		if (type >= 133 && type <= 137 && p->hop_limit == ON_LINK)
			return STOQ_REASON_NEIGHBOUR;
		/* Multicast listeners (RFC 2710, 3810) speak on the link only, with hop limit 1. */
		if ((type >= 130 && type <= 132) || type == 143)
			return p->hop_limit == 1 ? STOQ_REASON_NEIGHBOUR : STOQ_REASON_PLAIN_OTHER;
		return type == 128 || type == 129 ? STOQ_REASON_ECHO : STOQ_REASON_PLAIN_OTHER;
	}
	if (type == 3 || type == 11 || type == 12)
		return STOQ_REASON_ICMP_ERROR;
	return type == 0 || type == 8 ? STOQ_REASON_ECHO : STOQ_REASON_PLAIN_OTHER;
}

static __always_inline int network(__u32 ifindex, __u8 direction, const struct stoq_address *peer)
{
	struct stoq_pod_network key = {
		.prefix_bits = 192, .ifindex = ifindex, .direction = direction, .address = *peer
	};

	return bpf_map_lookup_elem(&strict_networks, &key) != 0;
}

static __always_inline int service(__u32 ifindex, const struct stoq_packet *p)
{
	struct stoq_service key = { .ifindex = ifindex,
				    .address = p->destination,
				    .port = p->destination_port,
				    .protocol = p->protocol };
	__u32 *value = bpf_map_lookup_elem(&strict_services, &key);

	return value ? (int)*value : -1;
}

static __always_inline int port(__u32 ifindex, const struct stoq_packet *p, __u8 direction)
{
	struct stoq_port key = { .ifindex = ifindex,
				 .port = p->destination_port,
				 .protocol = p->protocol,
				 .direction = direction };
	__u32 *value = bpf_map_lookup_elem(&strict_ports, &key);

	return value ? (int)*value : -1;
}

/* Whether a rule lets this packet open a connection in its direction; negative if none does. */
static __always_inline int by_rule(struct __sk_buff *ctx, __u32 ifindex, __u8 direction,
				   const struct stoq_packet *p)
{
	const struct stoq_address *peer =
		direction == STOQ_FROM_POD ? &p->destination : &p->source;
	int reason;

	if (network(ifindex, direction, peer) || network(0, direction, peer))
		return STOQ_REASON_EXEMPT;
	if (p->fragment == STOQ_FRAGMENT_LATER)
		return -1;
	if (direction == STOQ_FROM_POD) {
		reason = service(ifindex, p);
		if (reason < 0)
			reason = service(0, p);
		if (reason >= 0)
			return reason;
	}
	reason = port(ifindex, p, direction);
	if (reason < 0)
		reason = port(0, p, direction);
	/* A packet that was forwarded came in by an interface; a probe of this host by none. */
	if (reason == STOQ_REASON_PROBE && ctx->ingress_ifindex != 0)
		return -1;
	return reason;
}

static __always_inline struct stoq_flow flow(__u32 ifindex, __u8 direction, __u8 opened,
					     const struct stoq_packet *p)
{
	int out = direction == STOQ_FROM_POD;

	return (struct stoq_flow){ .ifindex = ifindex,
				   .peer = out ? p->destination : p->source,
				   .peer_port = out ? p->destination_port : p->source_port,
				   .pod_port = out ? p->source_port : p->destination_port,
				   .protocol = p->protocol,
				   .opened = opened };
}

static __always_inline void open(__u32 ifindex, __u8 direction, const struct stoq_packet *p,
				 __u32 reason)
{
	struct stoq_flow key = flow(ifindex, direction, direction, p);
	struct stoq_flow_state *known = bpf_map_lookup_elem(&strict_flows, &key);
	__u64 now = bpf_ktime_get_ns();

	if (known && now - known->seen_ns < FRESH_NS && known->reason == reason)
		return;
	struct stoq_flow_state state = { .seen_ns = now, .reason = reason };
	bpf_map_update_elem(&strict_flows, &key, &state, BPF_ANY);
}

/* An answer to what the other direction let open; negative if it is none. */
static __always_inline int by_flow(__u32 ifindex, __u8 direction, const struct stoq_packet *p)
{
	if (p->fragment == STOQ_FRAGMENT_LATER)
		return -1;
	if (p->protocol == STOQ_IP_TCP &&
	    (p->tcp_flags & (STOQ_TCP_SYN | STOQ_TCP_ACK)) == STOQ_TCP_SYN)
		return -1;
	struct stoq_flow key = flow(ifindex, direction, !direction, p);
	struct stoq_flow_state *state = bpf_map_lookup_elem(&strict_flows, &key);

	return state ? (int)state->reason : -1;
}

/* By the agent the two are held against different figures of the sidecar's. */
static __always_inline int named(int reason, const struct stoq_packet *p)
{
	return reason == STOQ_REASON_EXEMPT && p->protocol == STOQ_IP_UDP ? STOQ_REASON_EXEMPT_UDP : reason;
}

static __always_inline int classify(struct __sk_buff *ctx, const struct stoq_pod *pod, __u8 direction)
{
	struct stoq_packet p = {};
	__u32 ifindex = ctx->ifindex;
	int parsed = stoq_parse(ctx, &p), reason;

	if (parsed == STOQ_PARSED_NOT_IP)
		return p.ethertype == STOQ_ETH_ARP ? STOQ_REASON_NEIGHBOUR : STOQ_REASON_LINK;
	if (parsed != STOQ_PARSED_IP)
		return STOQ_REASON_MALFORMED;

	int ported = p.protocol == STOQ_IP_TCP || p.protocol == STOQ_IP_UDP;
	int is_icmp = p.protocol == (p.family == 4 ? STOQ_IP_ICMP : STOQ_IP_ICMPV6);
	int later = p.fragment == STOQ_FRAGMENT_LATER;

	if (p.protocol == STOQ_IP_UDP && !later) {
		if (p.destination_port == STOQ_PORT || p.source_port == STOQ_PORT)
			return STOQ_REASON_STOQ;
		__u16 theirs = direction == STOQ_FROM_POD ? p.destination_port : p.source_port;
		if (theirs == STOQ_CONTROL_PORT)
			return STOQ_REASON_CONTROL;
	}
	if (is_icmp && !later) {
		reason = icmp(&p);
		if (reason != STOQ_REASON_ECHO)
			return reason;
	}
	if (is_icmp && pod->flags & STOQ_POD_ECHO)
		return STOQ_REASON_ECHO;

	__u32 mine = direction == STOQ_TO_POD ? pod->inbound : pod->outbound;
	__u32 other = direction == STOQ_TO_POD ? pod->outbound : pod->inbound;

	reason = by_rule(ctx, ifindex, direction, &p);
	if (reason >= 0) {
		if (ported && !later)
			open(ifindex, direction, &p, reason);
		return named(reason, &p);
	}
	if (ported) {
		reason = by_flow(ifindex, direction, &p);
		if (reason >= 0)
			return named(reason, &p);
	}
	if (p.protocol == STOQ_IP_UDP && pod->flags & STOQ_POD_UDP)
		return STOQ_REASON_UDP;
	if (later)
		return STOQ_REASON_FRAGMENT;
	if (ported && mine == STOQ_MODE_PERMISSIVE && other != STOQ_MODE_PERMISSIVE)
		open(ifindex, direction, &p, STOQ_REASON_REPLY);
	if (!ported)
		return STOQ_REASON_PLAIN_OTHER;
	return p.protocol == STOQ_IP_TCP ? STOQ_REASON_PLAIN_TCP : STOQ_REASON_PLAIN_UDP;
}

static __always_inline int judge(struct __sk_buff *ctx, __u8 direction)
{
	__u32 ifindex = ctx->ifindex;
	struct stoq_pod *pod = bpf_map_lookup_elem(&strict_pods, &ifindex);
	__u64 packets = ctx->gso_segs ? ctx->gso_segs : 1;

	if (!pod) {
		__u32 slot = direction;
		struct stoq_count *lost = bpf_map_lookup_elem(&strict_unenrolled, &slot);

		if (lost)
			stoq_add(lost, packets, ctx->len);
		return TC_ACT_SHOT;
	}
	__u32 reason = classify(ctx, pod, direction);
	struct stoq_strict_counts *counts = bpf_map_lookup_elem(&strict_counts, &ifindex);
	__u32 slot = direction * STOQ_REASONS + reason;

	if (counts && slot < 2 * STOQ_REASONS)
		stoq_add(&counts->by[slot], packets, ctx->len);
	__u32 mode = direction == STOQ_TO_POD ? pod->inbound : pod->outbound;
	if (reason < STOQ_REASON_PLAIN_TCP || mode == STOQ_MODE_PERMISSIVE)
		return TC_ACT_UNSPEC; /* the next program, if there is one */
	return TC_ACT_SHOT;
}

/* Egress of the host's end. */
SEC("classifier")
int strict_to_pod(struct __sk_buff *ctx)
{
	return judge(ctx, STOQ_TO_POD);
}

/* Ingress of the host's end. */
SEC("classifier")
int strict_from_pod(struct __sk_buff *ctx)
{
	return judge(ctx, STOQ_FROM_POD);
}

char _license[] SEC("license") = "Apache-2.0";
