// SPDX-License-Identifier: Apache-2.0
/*
 * Node-local splice: TCP between two pods of this node goes from the link of the one straight into the
 * other, for the pairs that both sidecars have agreed to and the agent has put into splice_pairs. The
 * host's stack, its filters and the other programs of both links see nothing of it, so this one stands
 * in front of them all.
 *
 * A pair is in force until a time that the agent moves on while the agreement lasts. Without the agent
 * it ends by itself. What is no pair's goes on as if this program were not there: in a strict pod it is
 * dropped.
 */
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

#define STOQ_CONTEXT struct __sk_buff
#define STOQ_LOAD(ctx, at, to, size) bpf_skb_load_bytes(ctx, at, to, size)
#define STOQ_LENGTH(ctx) (((struct __sk_buff *)(ctx))->len)
#include <stoq/parse.h>

/* Two of each pair. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct stoq_splice);
	__type(value, struct stoq_splice_end);
} splice_pairs SEC(".maps");

/* What left each pod that way; made by the agent with the first pair. The key is that of strict_pods. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct stoq_count);
} splice_counts SEC(".maps");

/* Whether the other pod's stack would take the frame as it takes one of its own link. */
static __always_inline int plain(struct __sk_buff *ctx, const struct stoq_packet *p)
{
	if (ctx->vlan_present || ctx->protocol != bpf_htons(p->ethertype))
		return 0;
	return ctx->pkt_type == PACKET_HOST || ctx->pkt_type == PACKET_OTHERHOST;
}

static __always_inline struct stoq_splice_end *pair(__u32 ifindex, const struct stoq_packet *p)
{
	struct stoq_splice key = { .ifindex = ifindex,
				   .own = p->source,
				   .peer = p->destination,
				   .port = p->destination_port };
	struct stoq_splice_end *found = bpf_map_lookup_elem(&splice_pairs, &key);

	/* A server answers from its port. It opens nothing from there. */
	if (found || (p->tcp_flags & (STOQ_TCP_SYN | STOQ_TCP_ACK)) == STOQ_TCP_SYN)
		return found;
	key.port = p->source_port;
	key.serves = 1;
	return bpf_map_lookup_elem(&splice_pairs, &key);
}

/* Ingress of the host's end. */
SEC("classifier")
int splice_from_pod(struct __sk_buff *ctx)
{
	struct stoq_packet p = {};
	__u32 ifindex = ctx->ifindex;

	if (stoq_parse(ctx, &p) != STOQ_PARSED_IP || p.protocol != STOQ_IP_TCP || p.fragment ||
	    !plain(ctx, &p))
		return TC_ACT_UNSPEC;
	struct stoq_splice_end *to = pair(ifindex, &p);

	if (!to || bpf_ktime_get_ns() >= to->until_ns)
		return TC_ACT_UNSPEC;
	/* Behind a bridge frames are for the other pod, not for this link; its stack would not take them. */
	if (ctx->pkt_type != PACKET_HOST && bpf_skb_change_type(ctx, PACKET_HOST))
		return TC_ACT_UNSPEC;
	struct stoq_count *count = bpf_map_lookup_elem(&splice_counts, &ifindex);

	if (count)
		stoq_add(count, ctx->gso_segs ? ctx->gso_segs : 1, ctx->len);
	return bpf_redirect_peer(to->ifindex, 0);
}

char _license[] SEC("license") = "Apache-2.0";
