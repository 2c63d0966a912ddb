/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The kernel's side of `stoq-node trace`, compiled by BCC when it starts. Tracepoints only.
 *
 * No structure of the kernel is declared here: AT_<structure>_<member> are byte offsets that the
 * tracer reads from the running kernel's BTF (layout.py). GPL as one of two licences because the
 * kernel keeps reading its memory (bpf_probe_read_kernel) for the GPL. The structures are decoded
 * by records.py. */

#define READ(type, base, offset)                                                                   \
  ({                                                                                               \
    type read_ = 0;                                                                                \
    bpf_probe_read_kernel(&read_, sizeof(read_), (const char *)(base) + (offset));                 \
    read_;                                                                                         \
  })

#define LOOPBACK 1 /* Index of lo, in every network namespace. */
#define TCP 6
#define UDP 17
#define SYN 0x02
#define ACK 0x10
#define IPV4 2 /* AF_INET */
#define IPV6 10
#define SLOTS 24

/* States of a socket, net/tcp_states.h: those that are no full socket have no owner. */
#define ESTABLISHED 1
#define SYN_SENT 2
#define TIME_WAIT 6
#define NEW_SYN_RECV 12

/* The tracepoint of drops names its type; its values are read from the format file. */
enum skb_drop_reason { ANY_REASON };

/* A network namespace, or one interface of it. */
struct place {
  u32 netns;
  u32 ifindex; /* 0: all of them */
};

/* IPv4 addresses are mapped ones. Ports in the host's order. */
struct flow {
  u8 local[16];
  u8 remote[16];
  u16 local_port;
  u16 remote_port;
  u32 place;
  u8 protocol;
  u8 zero[3];
};

struct event {
  struct flow flow;
  u32 pid; /* 0: not known */
  u32 uid;
  char comm[16];
  u8 outgoing;
  u8 opener; /* 0: not known, 1: this side, 2: the other */
  u8 owned;  /* uid is known */
  u8 zero;
};

struct opened {
  u64 at;
};

struct latency {
  u64 sent;       /* when the last request was, ns; 0: it is answered */
  u64 connecting; /* ns from SYN to established; 0: not seen */
  u32 pid;
  u32 uid;
  char comm[16];
  u32 slots[SLOTS]; /* answers by log2 of microseconds */
};

struct drop {
  u32 place; /* 0: none that is watched */
  u32 reason;
  u32 ethertype;
};

BPF_HASH(places, struct place, u32, 8192);
BPF_TABLE("lru_hash", struct flow, u8, known, 16384);
BPF_TABLE("lru_hash", u64, struct opened, opening, 4096);
BPF_TABLE("lru_hash", struct flow, struct latency, latencies, 4096);
BPF_HASH(drops, struct drop, u64, 4096);
BPF_ARRAY(lost, u64, 2);
BPF_RINGBUF_OUTPUT(events, 64);

static __always_inline void lose(int what) { lost.atomic_increment(what); }
#define LOST_EVENT 0
#define LOST_DROP 1

static __always_inline u32 place_of(u32 netns, u32 ifindex) {
  struct place place = {.netns = netns, .ifindex = ifindex};
  u32 *number = places.lookup(&place);
  return number ? *number : 0;
}

static __always_inline u32 netns_of(void *net) {
  return net ? READ(u32, net, AT_net_ns + AT_ns_common_inum) : 0;
}

static __always_inline u32 netns_of_socket(void *sk) {
  return netns_of(READ(void *, sk, AT_sock_common_skc_net));
}

static __always_inline void map_ipv4(u8 *address, const void *from) {
  address[10] = address[11] = 0xff;
  bpf_probe_read_kernel(address + 12, 4, from);
}

/* Addresses, protocol and ports; false for what has none. */
static __always_inline bool parse(struct flow *flow, const char *at, u16 ethertype, bool outgoing,
                                  u8 *flags) {
  u8 *source = outgoing ? flow->local : flow->remote;
  u8 *destination = outgoing ? flow->remote : flow->local;
  u8 next;
  if (ethertype == 0x0800) {
    if (bpf_ntohs(READ(u16, at, 6)) & 0x1fff) return false; /* a later fragment */
    next = READ(u8, at, 9);
    map_ipv4(source, at + 12);
    map_ipv4(destination, at + 16);
    at += (READ(u8, at, 0) & 0x0f) * 4;
  } else if (ethertype == 0x86dd) {
    next = READ(u8, at, 6);
    bpf_probe_read_kernel(source, 16, at + 8);
    bpf_probe_read_kernel(destination, 16, at + 24);
    at += 40;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      if (next == 44) { /* a fragment */
        if (bpf_ntohs(READ(u16, at, 2)) & 0xfff8) return false;
        next = READ(u8, at, 0);
        at += 8;
      } else if (next == 0 || next == 43 || next == 60) { /* options, routing */
        next = READ(u8, at, 0);
        at += (READ(u8, at, 1) + 1) * 8;
      }
    }
  } else {
    return false;
  }
  if (next != TCP && next != UDP) return false;
  flow->protocol = next;
  u16 from = bpf_ntohs(READ(u16, at, 0)), to = bpf_ntohs(READ(u16, at, 2));
  flow->local_port = outgoing ? from : to;
  flow->remote_port = outgoing ? to : from;
  *flags = next == TCP ? READ(u8, at, 13) : SYN;
  return true;
}

/* Whose socket sends, as far as it is certain. The program that runs is the sender if it is in the
 * socket's namespace and of its user; a packet may also leave while another one runs. */
static __always_inline void own(struct event *event, void *sk, u32 netns) {
  u8 state = READ(u8, sk, AT_sock_common_skc_state);
  if (state == TIME_WAIT || state == NEW_SYN_RECV) return;
  event->uid = READ(u32, sk, AT_sock_sk_uid);
  event->owned = 1;
  void *task = (void *)bpf_get_current_task();
  void *proxy = READ(void *, task, AT_task_struct_nsproxy);
  void *cred = READ(void *, task, AT_task_struct_cred);
  if (!proxy || netns_of(READ(void *, proxy, AT_nsproxy_net_ns)) != netns) return;
  if (READ(u32, cred, AT_cred_fsuid) != event->uid) return;
  event->pid = bpf_get_current_pid_tgid() >> 32;
  bpf_get_current_comm(event->comm, sizeof(event->comm));
}

static __always_inline int packet(void *ctx, void *skb, bool outgoing) {
  void *dev = READ(void *, skb, AT_sk_buff_dev);
  if (READ(u32, dev, AT_net_device_ifindex) == LOOPBACK) return 0;
  u32 netns = netns_of(READ(void *, dev, AT_net_device_nd_net));
  struct event event = {};
  event.flow.place = place_of(netns, 0);
  if (!event.flow.place) return 0;
  u16 ethertype = bpf_ntohs(READ(u16, skb, AT_sk_buff_protocol));
  /* What arrives has its network header where its data begin, and none noted yet. */
  const char *at = outgoing
                       ? READ(char *, skb, AT_sk_buff_head) + READ(u16, skb, AT_sk_buff_network_header)
                       : READ(char *, skb, AT_sk_buff_data);
  u8 flags = 0, yes = 1;
  if (!parse(&event.flow, at, ethertype, outgoing, &flags)) return 0;
  if (known.lookup(&event.flow)) return 0;
  known.update(&event.flow, &yes);
  event.outgoing = outgoing;
  if (flags & SYN) event.opener = outgoing == !(flags & ACK) ? 1 : 2;
  if (outgoing) {
    void *sk = READ(void *, skb, AT_sk_buff_sk);
    if (sk) own(&event, sk, netns);
  }
  if (events.ringbuf_output(&event, sizeof(event), 0)) {
    known.delete(&event.flow); /* Its next packet tries again. */
    lose(LOST_EVENT);
  }
  return 0;
}

TRACEPOINT_PROBE(net, net_dev_queue) { return packet(args, args->skbaddr, true); }

TRACEPOINT_PROBE(net, netif_receive_skb) { return packet(args, args->skbaddr, false); }

TRACEPOINT_PROBE(skb, kfree_skb) {
  void *skb = args->skbaddr;
  struct drop drop = {.reason = args->reason, .ethertype = args->protocol};
  if (drop.reason < 2) return 0; /* not dropped, or consumed */
  /* Sockets reuse the place of `dev` for numbers of their own: read as a pointer, they lead
   * nowhere. */
  void *dev = READ(void *, skb, AT_sk_buff_dev);
  u32 netns = netns_of(READ(void *, dev, AT_net_device_nd_net));
  drop.place = place_of(netns, 0);
  if (!drop.place && netns)
    drop.place = place_of(netns, READ(u32, dev, AT_net_device_ifindex));
  if (!drop.place) {
    void *sk = READ(void *, skb, AT_sk_buff_sk);
    if (sk) drop.place = place_of(netns_of_socket(sk), 0);
  }
  u64 zero = 0, *count = drops.lookup_or_try_init(&drop, &zero);
  if (count)
    __sync_fetch_and_add(count, 1);
  else
    lose(LOST_DROP);
  return 0;
}

#ifdef LATENCY

static __always_inline bool flow_of(struct flow *flow, void *sk, u8 protocol) {
  u16 family = READ(u16, sk, AT_sock_common_skc_family);
  flow->place = place_of(netns_of_socket(sk), 0);
  if (!flow->place) return false;
  flow->protocol = protocol;
  flow->local_port = READ(u16, sk, AT_sock_common_skc_num);
  flow->remote_port = bpf_ntohs(READ(u16, sk, AT_sock_common_skc_dport));
  if (!flow->local_port || !flow->remote_port) return false;
  const char *at = sk;
  if (family == IPV4) {
    map_ipv4(flow->local, at + AT_sock_common_skc_rcv_saddr);
    map_ipv4(flow->remote, at + AT_sock_common_skc_daddr);
    return flow->remote[12] != 127;
  }
  if (family != IPV6) return false;
  bpf_probe_read_kernel(flow->local, 16, at + AT_sock_common_skc_v6_rcv_saddr);
  bpf_probe_read_kernel(flow->remote, 16, at + AT_sock_common_skc_v6_daddr);
  u32 *word = (u32 *)flow->remote;
  if (word[0] || word[1]) return true;
  bool loopback = !word[2] && word[3] == bpf_htonl(1);
  return !loopback && !(flow->remote[10] == 0xff && flow->remote[12] == 127);
}

static __always_inline bool sidecar(void) { return (u32)bpf_get_current_uid_gid() == SIDECAR; }

static __always_inline struct latency *entry(struct flow *flow) {
  struct latency fresh = {};
  fresh.pid = bpf_get_current_pid_tgid() >> 32;
  fresh.uid = bpf_get_current_uid_gid();
  bpf_get_current_comm(fresh.comm, sizeof(fresh.comm));
  return latencies.lookup_or_try_init(flow, &fresh);
}

TRACEPOINT_PROBE(sock, inet_sock_set_state) {
  u64 key = (u64)args->skaddr, now = bpf_ktime_get_ns();
  if (args->protocol != TCP) return 0;
  if (args->newstate == SYN_SENT) {
    struct opened opened = {.at = now};
    if (place_of(netns_of_socket((void *)key), 0)) opening.update(&key, &opened);
    return 0;
  }
  struct opened *opened = opening.lookup(&key);
  if (!opened) return 0;
  u64 took = now - opened->at;
  opening.delete(&key);
  struct flow flow = {};
  if (args->newstate != ESTABLISHED || !flow_of(&flow, (void *)key, TCP)) return 0;
  /* Whose it is will be known when it sends: this may run on behalf of anybody. */
  struct latency fresh = {.connecting = took};
  if (READ(u32, key, AT_sock_sk_uid) != SIDECAR) latencies.update(&flow, &fresh);
  return 0;
}

TRACEPOINT_PROBE(sock, sock_send_length) {
  struct flow flow = {};
  if (args->ret <= 0 || sidecar() || (args->protocol != TCP && args->protocol != UDP)) return 0;
  if (!flow_of(&flow, args->sk, args->protocol)) return 0;
  struct latency *known_one = latencies.lookup(&flow);
  if (!known_one) {
    /* Opened before the trace, or without a connection: the lower port is the server's, whose
     * waiting for the next request would be no latency. */
    if (flow.local_port <= flow.remote_port) return 0;
    known_one = entry(&flow);
    if (!known_one) return 0;
  } else if (!known_one->pid) {
    known_one->pid = bpf_get_current_pid_tgid() >> 32;
    known_one->uid = bpf_get_current_uid_gid();
    bpf_get_current_comm(known_one->comm, sizeof(known_one->comm));
  }
  known_one->sent = bpf_ktime_get_ns();
  return 0;
}

TRACEPOINT_PROBE(sock, sock_recv_length) {
  struct flow flow = {};
  if (args->ret <= 0 || args->flags & 2 /* MSG_PEEK */ || sidecar()) return 0;
  if (args->protocol != TCP && args->protocol != UDP) return 0;
  if (!flow_of(&flow, args->sk, args->protocol)) return 0;
  struct latency *waiting = latencies.lookup(&flow);
  if (!waiting || !waiting->sent) return 0;
  u64 took = (bpf_ktime_get_ns() - waiting->sent) / 1000;
  waiting->sent = 0;
  u32 slot = took ? bpf_log2l(took) : 0;
  if (slot >= SLOTS) slot = SLOTS - 1;
  __sync_fetch_and_add(&waiting->slots[slot], 1);
  return 0;
}

#endif
