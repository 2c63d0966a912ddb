/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a QUIC datagram that is not encrypted: RFC 8999, RFC 9000 section 17.2, as STOQ uses it
 * (docs/wire-format.md, sections 1 and 4). The fixed bit is not looked at (C1). Needs parse.h.
 */
#ifndef STOQ_QUIC_H
#define STOQ_QUIC_H

#include <stoq/parse.h>

#define STOQ_QUIC_LONG 0x80
#define STOQ_QUIC_VERSION 1
/* RFC 9000, 17.2: the longest; 7.2: what a client makes up has 8 at least, and STOQ's own have 8. */
#define STOQ_QUIC_MAX_ID 20
#define STOQ_QUIC_MIN_ID 8
/* RFC 9000, 10.3: nothing valid is shorter, not even a stateless reset. */
#define STOQ_QUIC_MIN_PACKET 21
/* RFC 9001, 5.4.2: 4 bytes of packet number and 16 of sample must be there. */
#define STOQ_QUIC_MIN_PROTECTED 20
/* RFC 9001, 5.8, and a token of a byte at least. */
#define STOQ_QUIC_MIN_RETRY 17

enum stoq_quic {
	STOQ_QUIC_MALFORMED,
	STOQ_QUIC_OTHER_VERSION,
	STOQ_QUIC_INITIAL,
	STOQ_QUIC_ZERO_RTT,
	STOQ_QUIC_HANDSHAKE,
	STOQ_QUIC_RETRY,
	STOQ_QUIC_SHORT,
};

/* Reads a variable-length integer (RFC 9000, 16) at `*at`, moves `*at` behind it. */
static __always_inline int stoq_varint(void *ctx, __u32 *at, __u32 end, __u32 *value)
{
	__u8 b[8];

	if (*at >= end || STOQ_LOAD(ctx, *at, b, 1) < 0)
		return -1;
	__u32 size = 1u << (b[0] >> 6);
	if (size > end - *at)
		return -1;
	*value = b[0] & 0x3f;
	if (size == 2) {
		if (STOQ_LOAD(ctx, *at, b, 2) < 0)
			return -1;
		*value = (b[0] & 0x3f) << 8 | b[1];
	} else if (size == 4) {
		if (STOQ_LOAD(ctx, *at, b, 4) < 0)
			return -1;
		*value = (b[0] & 0x3f) << 24 | b[1] << 16 | b[2] << 8 | b[3];
	} else if (size == 8) {
		if (STOQ_LOAD(ctx, *at, b, 8) < 0 || b[0] & 0x3f || b[1] | b[2] | b[3])
			return -1;
		*value = (__u32)b[4] << 24 | b[5] << 16 | b[6] << 8 | b[7];
	}
	*at += size;
	return 0;
}

/* What the packet that begins at `at` is; `*next` is set behind it, for those that say where. */
static __always_inline int stoq_quic(void *ctx, __u32 at, __u32 end, __u32 *next)
{
	__u8 head[6], length;
	__u32 value;

	*next = end;
	if (end - at < STOQ_QUIC_MIN_PACKET || STOQ_LOAD(ctx, at, head, sizeof(head)) < 0)
		return STOQ_QUIC_MALFORMED;
	if (!(head[0] & STOQ_QUIC_LONG))
		return STOQ_QUIC_SHORT;
	if (head[1] | head[2] | head[3] || head[4] != STOQ_QUIC_VERSION)
		return STOQ_QUIC_OTHER_VERSION;
	if (head[5] < STOQ_QUIC_MIN_ID || head[5] > STOQ_QUIC_MAX_ID)
		return STOQ_QUIC_MALFORMED;
	at += sizeof(head) + head[5];
	if (at >= end || STOQ_LOAD(ctx, at, &length, 1) < 0 || length > STOQ_QUIC_MAX_ID)
		return STOQ_QUIC_MALFORMED;
	at += 1 + length;
	if (at > end)
		return STOQ_QUIC_MALFORMED;
	int kind = STOQ_QUIC_INITIAL + (head[0] >> 4 & 3);
	if (kind == STOQ_QUIC_RETRY)
		return end - at < STOQ_QUIC_MIN_RETRY ? STOQ_QUIC_MALFORMED : kind;
	if (kind == STOQ_QUIC_INITIAL) {
		if (stoq_varint(ctx, &at, end, &value) < 0 || value > end - at)
			return STOQ_QUIC_MALFORMED;
		at += value;
	}
	if (stoq_varint(ctx, &at, end, &value) < 0)
		return STOQ_QUIC_MALFORMED;
	if (value < STOQ_QUIC_MIN_PROTECTED || value > end - at)
		return STOQ_QUIC_MALFORMED;
	*next = at + value;
	return kind;
}

#endif
