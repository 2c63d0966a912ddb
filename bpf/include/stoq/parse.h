/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One parser for every hook. A program says how bytes of its context are read before it includes
 * this file:
 *
 *   STOQ_CONTEXT                       type of the context
 *   STOQ_LOAD(ctx, offset, to, size)   0, or negative when the frame is shorter
 *   STOQ_LENGTH(ctx)                   bytes of the frame, all buffers of it
 *
 * Both work on frames of several buffers (XDP with frags, GSO), which direct access does not. Frames
 * are Ethernet. Nothing here trusts a length: every read is held against the frame, and every header
 * against the end that IP gives. Layouts: RFC 791, 8200, 4302, 768, 9293, 792, 4443; IEEE 802.1Q.
 */
#ifndef STOQ_PARSE_H
#define STOQ_PARSE_H

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include <stoq/shared.h>

#define STOQ_ETH_IPV4 0x0800
#define STOQ_ETH_ARP 0x0806
#define STOQ_ETH_VLAN 0x8100
#define STOQ_ETH_IPV6 0x86dd
#define STOQ_ETH_QINQ 0x88a8

#define STOQ_IP_HOP_BY_HOP 0
#define STOQ_IP_ICMP 1
#define STOQ_IP_TCP 6
#define STOQ_IP_UDP 17
#define STOQ_IP_ROUTING 43
#define STOQ_IP_FRAGMENT 44
#define STOQ_IP_AH 51
#define STOQ_IP_ICMPV6 58
#define STOQ_IP_OPTIONS 60

/* Tags of 802.1ad carry one of 802.1Q; deeper stacks are nobody's. */
#define STOQ_MAX_TAGS 2
/* RFC 8200, 4.1 has each extension header once and options twice: 7 at most. */
#define STOQ_MAX_EXTENSIONS 8
/* What a length field of 16 bits can say; beyond are GSO packets of big TCP, which say 0. */
#define STOQ_MAX_LENGTH 65535

#define STOQ_TCP_SYN 0x02
#define STOQ_TCP_ACK 0x10

enum stoq_parsed {
	STOQ_PARSED_IP,
	STOQ_PARSED_NOT_IP,
	STOQ_PARSED_BROKEN, /* a length or a version that cannot be; the stack refuses it too */
	STOQ_PARSED_HIDDEN, /* the stack might read what this parser does not: ports in a later
			     * fragment, more extension headers than anybody needs, addresses of
			     * IPv4 in a packet of IPv6 */
};

enum stoq_fragment {
	STOQ_FRAGMENT_NONE,
	STOQ_FRAGMENT_FIRST,
	STOQ_FRAGMENT_LATER, /* no ports: `payload` is where the fragment's data begins */
};

struct stoq_packet {
	struct stoq_address source;
	struct stoq_address destination;
	__u32 payload; /* offset in the frame, behind the last header that was read */
	__u32 end;     /* offset in the frame, behind the last byte of the datagram */
	__u16 ethertype;
	__u16 source_port; /* 0 when the protocol has none */
	__u16 destination_port;
	__u8 family; /* 4 or 6 */
	__u8 protocol;
	__u8 fragment;
	__u8 hop_limit;
	__u8 icmp_type;
	__u8 tcp_flags;
};

struct stoq_ipv4 {
	__u8 version_words;
	__u8 service;
	__be16 length;
	__be16 id;
	__be16 fragment;
	__u8 hop_limit;
	__u8 protocol;
	__be16 checksum;
	__u8 source[4];
	__u8 destination[4];
};

struct stoq_ipv6 {
	__be32 version_class_flow;
	__be16 payload;
	__u8 next;
	__u8 hop_limit;
	struct stoq_address source;
	struct stoq_address destination;
};

static __always_inline void stoq_mapped(struct stoq_address *to, const __u8 *from)
{
	__builtin_memset(to->bytes, 0, 10);
	to->bytes[10] = to->bytes[11] = 0xff;
	__builtin_memcpy(to->bytes + 12, from, 4);
}

/* No packet may carry such an address (RFC 4291, 2.5.5.2); here it would pass for one of IPv4. */
static __always_inline int stoq_is_mapped(const struct stoq_address *address)
{
	__u8 others = 0;

	for (int i = 0; i < 10; i++)
		others |= address->bytes[i];
	return !others && address->bytes[10] == 0xff && address->bytes[11] == 0xff;
}

static __always_inline int stoq_parse_ipv4(void *ctx, __u32 at, __u32 frame, struct stoq_packet *p)
{
	struct stoq_ipv4 ip;

	if (STOQ_LOAD(ctx, at, &ip, sizeof(ip)) < 0 || ip.version_words >> 4 != 4)
		return STOQ_PARSED_BROKEN;
	__u32 header = (ip.version_words & 15) * 4;
	__u32 length = bpf_ntohs(ip.length);
	if (length == 0 && frame - at > STOQ_MAX_LENGTH)
		length = frame - at;
	if (header < sizeof(ip) || length < header || length > frame - at)
		return STOQ_PARSED_BROKEN;
	p->family = 4;
	p->protocol = ip.protocol;
	p->hop_limit = ip.hop_limit;
	p->payload = at + header;
	p->end = at + length;
	stoq_mapped(&p->source, ip.source);
	stoq_mapped(&p->destination, ip.destination);
	__u16 fragment = bpf_ntohs(ip.fragment);
	if (fragment & 0x1fff)
		p->fragment = STOQ_FRAGMENT_LATER;
	else if (fragment & 0x2000)
		p->fragment = STOQ_FRAGMENT_FIRST;
	return STOQ_PARSED_IP;
}

static __always_inline int stoq_parse_extensions(void *ctx, struct stoq_packet *p)
{
	for (int i = 0; i <= STOQ_MAX_EXTENSIONS; i++) {
		__u8 head[4];
		__u32 size;

		switch (p->protocol) {
		case STOQ_IP_HOP_BY_HOP:
		case STOQ_IP_ROUTING:
		case STOQ_IP_OPTIONS:
		case STOQ_IP_FRAGMENT:
		case STOQ_IP_AH:
			break;
		default:
			return STOQ_PARSED_IP;
		}
		if (p->payload + 8 > p->end)
			return p->fragment ? STOQ_PARSED_HIDDEN : STOQ_PARSED_BROKEN;
		if (STOQ_LOAD(ctx, p->payload, head, sizeof(head)) < 0)
			return STOQ_PARSED_BROKEN;
		if (p->protocol == STOQ_IP_FRAGMENT) {
			size = 8;
			if (head[2] || head[3] & 0xf8)
				p->fragment = STOQ_FRAGMENT_LATER;
			else if (head[3] & 1)
				p->fragment = STOQ_FRAGMENT_FIRST;
		} else if (p->protocol == STOQ_IP_AH) {
			size = (head[1] + 2) * 4;
		} else {
			size = (head[1] + 1) * 8;
		}
		p->protocol = head[0];
		p->payload += size;
		if (p->payload > p->end)
			return p->fragment ? STOQ_PARSED_HIDDEN : STOQ_PARSED_BROKEN;
		if (p->fragment == STOQ_FRAGMENT_LATER)
			return STOQ_PARSED_IP;
	}
	return STOQ_PARSED_HIDDEN;
}

static __always_inline int stoq_parse_ipv6(void *ctx, __u32 at, __u32 frame, struct stoq_packet *p)
{
	struct stoq_ipv6 ip;

	if (STOQ_LOAD(ctx, at, &ip, sizeof(ip)) < 0 ||
	    bpf_ntohl(ip.version_class_flow) >> 28 != 6)
		return STOQ_PARSED_BROKEN;
	__u32 length = bpf_ntohs(ip.payload) + sizeof(ip);
	/* A jumbogram, or a GSO packet past the field's range: the frame says how long it is. */
	if (ip.payload == 0 && frame - at > STOQ_MAX_LENGTH)
		length = frame - at;
	if (length > frame - at)
		return STOQ_PARSED_BROKEN;
	p->family = 6;
	p->protocol = ip.next;
	p->hop_limit = ip.hop_limit;
	p->payload = at + sizeof(ip);
	p->end = at + length;
	p->source = ip.source;
	p->destination = ip.destination;
	if (stoq_is_mapped(&p->source) || stoq_is_mapped(&p->destination))
		return STOQ_PARSED_HIDDEN;
	return stoq_parse_extensions(ctx, p);
}

/* The header that follows IP, unless this is a later fragment. */
static __always_inline int stoq_parse_transport(void *ctx, struct stoq_packet *p)
{
	__u8 head[14];
	__u32 room = p->end - p->payload, size;
	/* Too short in a first fragment: the rest would come with the next one (RFC 3128). */
	int too_short = p->fragment ? STOQ_PARSED_HIDDEN : STOQ_PARSED_BROKEN;

	switch (p->protocol) {
	case STOQ_IP_UDP:
	case STOQ_IP_ICMP:
	case STOQ_IP_ICMPV6:
		size = 8;
		break;
	case STOQ_IP_TCP:
		size = 20;
		break;
	default:
		return STOQ_PARSED_IP;
	}
	if (room < size)
		return too_short;
	if (STOQ_LOAD(ctx, p->payload, head, 8) < 0)
		return STOQ_PARSED_BROKEN;
	if (p->protocol == STOQ_IP_ICMP || p->protocol == STOQ_IP_ICMPV6) {
		p->icmp_type = head[0];
		return STOQ_PARSED_IP;
	}
	p->source_port = head[0] << 8 | head[1];
	p->destination_port = head[2] << 8 | head[3];
	if (p->protocol == STOQ_IP_UDP) {
		__u32 length = head[4] << 8 | head[5];

		if (length == 0 && room > STOQ_MAX_LENGTH)
			length = room;
		if (length < size || (length > room && !p->fragment))
			return STOQ_PARSED_BROKEN;
		if (length < room)
			p->end = p->payload + length;
	} else {
		if (STOQ_LOAD(ctx, p->payload, head, sizeof(head)) < 0)
			return STOQ_PARSED_BROKEN;
		size = (head[12] >> 4) * 4;
		if (size < 20)
			return STOQ_PARSED_BROKEN;
		if (size > room)
			return too_short;
		p->tcp_flags = head[13];
	}
	p->payload += size;
	return STOQ_PARSED_IP;
}

/*
 * Reads a frame's headers into `p`, which is zero before. With anything but STOQ_PARSED_IP only
 * `ethertype` may be used.
 *
 * Neither static nor inlined: so the verifier looks at it once, for any packet. Inlined it is looked
 * at with every path through the program around it, which took seconds of a CPU for each program.
 */
__attribute__((noinline)) int stoq_parse(STOQ_CONTEXT *ctx, struct stoq_packet *p)
{
	__u32 frame = STOQ_LENGTH(ctx), at = 14;
	__be16 type;
	int parsed;

	if (!p) /* as far as the verifier knows */
		return STOQ_PARSED_NOT_IP;
	if (STOQ_LOAD(ctx, 12, &type, sizeof(type)) < 0)
		return STOQ_PARSED_NOT_IP;
	for (int i = 0; i < STOQ_MAX_TAGS; i++) {
		if (type != bpf_htons(STOQ_ETH_VLAN) && type != bpf_htons(STOQ_ETH_QINQ))
			break;
		if (STOQ_LOAD(ctx, at + 2, &type, sizeof(type)) < 0)
			return STOQ_PARSED_NOT_IP;
		at += 4;
	}
	p->ethertype = bpf_ntohs(type);
	if (p->ethertype == STOQ_ETH_IPV4)
		parsed = stoq_parse_ipv4(ctx, at, frame, p);
	else if (p->ethertype == STOQ_ETH_IPV6)
		parsed = stoq_parse_ipv6(ctx, at, frame, p);
	else
		return STOQ_PARSED_NOT_IP;
	if (parsed != STOQ_PARSED_IP || p->fragment == STOQ_FRAGMENT_LATER)
		return parsed;
	return stoq_parse_transport(ctx, p);
}

static __always_inline void stoq_add(struct stoq_count *count, __u64 packets, __u64 bytes)
{
	count->packets += packets;
	count->bytes += bytes;
}

#endif
