/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard of the node's uplink: drops what pretends to be STOQ before a socket, a queue or any
 * post-quantum arithmetic sees it. STOQ is known by its ports; everything else passes untouched.
 *
 * A handshake costs its server milliseconds and begins with an Initial, so Initials are limited by
 * source prefix and in all. Other packets cost a table look-up in the engine and are only checked
 * for their form. Both limits are token buckets kept as one number (GCRA), changed by compare and
 * swap: no lock, and one word of memory for a source.
 *
 * One program for each place at which it can look: a program says how bytes are read before it
 * includes this file, as parse.h wants it.
 */
#ifndef STOQ_GUARD_H
#define STOQ_GUARD_H

#include <stoq/quic.h>

/* A swap that fails this often loses to others who take tokens: the source is at its rate. */
#define SWAPS 4
/* More Initials than a merged packet of 64 KiB can hold (RFC 9000, 14.1: 1,200 bytes each). */
#define MAX_MERGED 64

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stoq_guard_config);
} guard_config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STOQ_VERDICTS);
	__type(key, __u32);
	__type(value, struct stoq_count);
} guard_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct stoq_network);
	__type(value, __u32);
} guard_sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct stoq_address);
	__type(value, struct stoq_bucket);
} guard_buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stoq_bucket);
} guard_ceiling SEC(".maps");

/* How far ahead of its rate a bucket is that was paid until `paid`, once `cost` is taken from it. */
static __always_inline __u64 ahead(__u64 paid, __u64 now, __u64 cost)
{
	return (paid > now ? paid - now : 0) + cost;
}

static __always_inline int take(struct stoq_bucket *bucket, __u64 now, __u64 cost, __u64 burst)
{
	for (int i = 0; i < SWAPS; i++) {
		__u64 before = *(volatile __u64 *)&bucket->paid_until_ns;
		__u64 taken = ahead(before, now, cost);

		if (taken > burst)
			break;
		if (__sync_val_compare_and_swap(&bucket->paid_until_ns, before, now + taken) == before)
			return 1;
	}
	__sync_fetch_and_add(&bucket->dropped, 1);
	return 0;
}

static __always_inline int is_empty(const struct stoq_bucket *bucket, __u64 now, __u64 cost, __u64 burst)
{
	return ahead(*(volatile __u64 *)&bucket->paid_until_ns, now, cost) > burst;
}

static __always_inline void keep_bits(struct stoq_address *address, __u32 bits)
{
	for (__u32 i = 0; i < 16; i++) {
		__u32 from = i * 8;

		if (bits <= from)
			address->bytes[i] = 0;
		else if (bits < from + 8)
			address->bytes[i] &= 0xff << (from + 8 - bits);
	}
}

static __always_inline int within_rates(const struct stoq_packet *p, __u32 initials)
{
	__u32 zero = 0;
	struct stoq_guard_config *config = bpf_map_lookup_elem(&guard_config, &zero);
	struct stoq_bucket *bucket, *ceiling = bpf_map_lookup_elem(&guard_ceiling, &zero);
	__u64 now = bpf_ktime_get_ns();

	if (!config || !ceiling)
		return STOQ_VERDICT_CEILING;
	__u64 for_all = initials * config->ceiling_interval_ns;

	/* In a flood of invented sources this is where most end: before one of them costs an entry. */
	if (for_all && is_empty(ceiling, now, for_all, config->ceiling_burst_ns)) {
		__sync_fetch_and_add(&ceiling->dropped, 1);
		return STOQ_VERDICT_CEILING;
	}
	if (config->source_interval_ns) {
		struct stoq_address source = p->source;

		keep_bits(&source, p->family == 4 ? config->source_bits_v4 : config->source_bits_v6);
		bucket = bpf_map_lookup_elem(&guard_buckets, &source);
		if (!bucket) {
			struct stoq_bucket fresh = {};

			bpf_map_update_elem(&guard_buckets, &source, &fresh, BPF_NOEXIST);
			bucket = bpf_map_lookup_elem(&guard_buckets, &source);
		}
		/* Evicted at once: the map is under attack, and the ceiling is what is left. */
		if (bucket && !take(bucket, now, initials * config->source_interval_ns,
				    config->source_burst_ns))
			return STOQ_VERDICT_SOURCE_RATE;
	}
	if (for_all && !take(ceiling, now, for_all, config->ceiling_burst_ns))
		return STOQ_VERDICT_CEILING;
	return STOQ_VERDICT_INITIAL;
}

/*
 * How many Initials a datagram is. GRO joins datagrams of one size into one packet before generic XDP
 * and tc see it; in a datagram of its own an Initial is never followed by another one.
 */
static __always_inline __u32 merged(void *ctx, const struct stoq_packet *p, __u32 next)
{
	__u32 ignored, size = next - p->payload, count;

	if (next >= p->end || stoq_quic(ctx, next, p->end, &ignored) != STOQ_QUIC_INITIAL)
		return 1;
	count = (p->end - p->payload + size - 1) / size;
	return count < MAX_MERGED ? count : MAX_MERGED;
}

static __always_inline int stoq_judge(STOQ_CONTEXT *ctx)
{
	struct stoq_packet p = {};
	__u32 zero = 0, next;
	int parsed = stoq_parse(ctx, &p);

	if (parsed == STOQ_PARSED_HIDDEN)
		return STOQ_VERDICT_MALFORMED;
	if (parsed != STOQ_PARSED_IP || p.protocol != STOQ_IP_UDP)
		return STOQ_VERDICT_OTHER;
	/* Of a later fragment nobody knows the port; without its first one it goes nowhere. */
	if (p.fragment == STOQ_FRAGMENT_LATER)
		return STOQ_VERDICT_OTHER;
	if (p.destination_port != STOQ_PORT && p.destination_port != STOQ_CONTROL_PORT)
		return STOQ_VERDICT_OTHER;
	if (p.fragment == STOQ_FRAGMENT_FIRST)
		return STOQ_VERDICT_FRAGMENT;

	struct stoq_network source = { .prefix_bits = 128, .address = p.source };
	__u32 *listing = bpf_map_lookup_elem(&guard_sources, &source);
	struct stoq_guard_config *config = bpf_map_lookup_elem(&guard_config, &zero);

	if (listing ? *listing == STOQ_LISTING_DENY : config && config->listed_only)
		return STOQ_VERDICT_DENIED;

	switch (stoq_quic(ctx, p.payload, p.end, &next)) {
	case STOQ_QUIC_MALFORMED:
		return STOQ_VERDICT_MALFORMED;
	case STOQ_QUIC_OTHER_VERSION:
		return STOQ_VERDICT_VERSION;
	case STOQ_QUIC_ZERO_RTT:
		return STOQ_VERDICT_ZERO_RTT;
	case STOQ_QUIC_INITIAL:
		if (listing)
			return STOQ_VERDICT_LISTED;
		return within_rates(&p, merged(ctx, &p, next));
	}
	return STOQ_VERDICT_STOQ;
}

/* Whether a frame goes on, which is counted. */
static __always_inline int stoq_guard(STOQ_CONTEXT *ctx)
{
	__u32 verdict = stoq_judge(ctx);
	struct stoq_count *count = bpf_map_lookup_elem(&guard_counts, &verdict);

	if (count)
		stoq_add(count, 1, STOQ_LENGTH(ctx));
	return verdict < STOQ_VERDICT_MALFORMED;
}

#endif
