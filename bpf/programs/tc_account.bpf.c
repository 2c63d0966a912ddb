// SPDX-License-Identifier: Apache-2.0
/*
 * Bytes and packets of each pod, by peer, direction and class, seen from the host's end of its link.
 * The agent holds them against the sidecar's own figures: bytes in the clear that the sidecar does not
 * know of went around it. Nothing is ever dropped here.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#define STOQ_CONTEXT struct __sk_buff
#define STOQ_LOAD(ctx, at, to, size) bpf_skb_load_bytes(ctx, at, to, size)
#define STOQ_LENGTH(ctx) (((struct __sk_buff *)(ctx))->len)
#include <stoq/parse.h>

/* The least recently seen pair of pod and peer makes room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct stoq_account_key);
	__type(value, struct stoq_account);
} account_peers SEC(".maps");

static __always_inline __u8 class_of(const struct stoq_packet *p, __u8 direction)
{
	if (p->fragment == STOQ_FRAGMENT_LATER)
		return STOQ_CLASS_OTHER;
	switch (p->protocol) {
	case STOQ_IP_TCP:
		return STOQ_CLASS_TCP;
	case STOQ_IP_ICMP:
	case STOQ_IP_ICMPV6:
		return STOQ_CLASS_ICMP;
	case STOQ_IP_UDP:
		break;
	default:
		return STOQ_CLASS_OTHER;
	}
	if (p->destination_port == STOQ_PORT || p->source_port == STOQ_PORT)
		return STOQ_CLASS_STOQ;
	__u16 theirs = direction == STOQ_FROM_POD ? p->destination_port : p->source_port;
	return theirs == STOQ_CONTROL_PORT ? STOQ_CLASS_CONTROL : STOQ_CLASS_UDP;
}

static __always_inline int count(struct __sk_buff *ctx, __u8 direction)
{
	struct stoq_packet p = {};
	struct stoq_account_key key = { .ifindex = ctx->ifindex, .direction = direction };
	struct stoq_account add = { .packets = ctx->gso_segs ? ctx->gso_segs : 1 };

	if (stoq_parse(ctx, &p) == STOQ_PARSED_IP) {
		key.class = class_of(&p, direction);
		key.peer = direction == STOQ_FROM_POD ? p.destination : p.source;
		add.payload_bytes = p.end - p.payload;
	} else {
		key.class = STOQ_CLASS_OTHER; /* of the peer ::, with all its bytes */
		add.payload_bytes = ctx->len;
	}
	struct stoq_account *known = bpf_map_lookup_elem(&account_peers, &key);

	if (known) {
		known->packets += add.packets;
		known->payload_bytes += add.payload_bytes;
	} else {
		bpf_map_update_elem(&account_peers, &key, &add, BPF_ANY);
	}
	return TC_ACT_UNSPEC;
}

/* Egress of the host's end. */
SEC("classifier")
int account_to_pod(struct __sk_buff *ctx)
{
	return count(ctx, STOQ_TO_POD);
}

/* Ingress of the host's end. */
SEC("classifier")
int account_from_pod(struct __sk_buff *ctx)
{
	return count(ctx, STOQ_FROM_POD);
}

char _license[] SEC("license") = "Apache-2.0";
