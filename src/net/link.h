/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link: one byte stream (TCP or unix socket) with its outbound lanes and, in a slot between these and the
 * stream, a filter (net/tls.h). It receives through the ring's buffer pools and sends from where the bytes
 * lie.
 *
 *      ring --recv--> [filter] --on_bytes--> wire          wire --link_push--> lanes --> [filter] --send-->
 * ring
 *
 * Sending. link_push() only queues and puts the link on net's dirty list; net_flush(), once a turn, gathers
 * all that is queued into one send. The first attempt never waits in the kernel. When it comes back short,
 * the rest is copied once into slab memory, the receive buffers go home in that turn, and from then until the
 * queue is empty the link is *blocked*: what is pushed meanwhile is copied too, so that a slow reader holds
 * slab memory, which is counted, and never the receive pool; but for what is more than the high mark, as only
 * a large buffer can hold: that stays there, and there are few of those. The lanes exist only while something
 * is queued.
 *
 * Ends. link_finish() closes in order: what is queued leaves, then FIN, then what the peer still sends is
 * discarded until its end of file or a limit (RFC 9112 9.6). link_abort() drops what is queued. Either way
 * on_closed() is called exactly once, when no operation is in flight any more and the descriptor is gone:
 * only then may the owner free the memory. Between link_abort() and on_closed() every call is harmless and
 * does nothing.
 *
 * Lanes. There is one for each priority. Messages of one lane leave in order; a more urgent one overtakes the
 * others, but none that has begun to leave, and not for good: of so many in a row, one is the least urgent
 * that waits. Who uses more than one lane of a link pushes each message whole before the next net_flush() and
 * marks its end (link_end_message). Who uses one, as HTTP/1.1 has to, says with link->urgency how urgent that
 * is among the links.
 *
 * Filters. What is pushed waits in the lanes as it is and passes the filter when its turn to be sent has
 * come: a message of a more important lane still overtakes it, small pieces of a turn share a record, and
 * while nothing was sent it can move to another link. A filter that begins with a handshake holds the link in
 * LINK_STARTING; on_connected() comes when that is through. A filter's own last words (close_notify, an
 * alert) leave before FIN, also at the abort of a link that is idle.
 *
 * Receiving. A link that fills the ring's small buffers several times in a row is received in bulk from then
 * on, and goes back to the small ones when it no longer does. So is one that was paused: it is ahead of its
 * reader, and bulk comes one buffer at a time, where the kernel may fill dozens of small ones in one turn.
 * One that rests between receives (net/batch.h) takes one buffer at a time, too. Where its owner says so,
 * bulk comes in large buffers (link_set_large).
 *
 * Calls go down, events come up: the callbacks of struct link_up are called from ring_reap() and net_flush()
 * only, never from within a call that the owner makes. So whoever pushes, pauses or ends need not fear for
 * what he holds.
 *
 * A link is embedded in its wire (container_of); the worker owns both.
 */
#ifndef NET_LINK_H
#define NET_LINK_H

#include "base/buf.h"
#include "base/close_reason.h"
#include "base/list.h"
#include "base/priority.h"
#include "base/slab.h"
#include "base/transport.h"
#include "ring/ring.h"

struct link;
struct outbound;

/* What the links of one side and transport have moved. Who reads it sets all but queued_bytes to 0, once a
 * turn. */
struct net_flow {
    uint64_t queued_bytes; /* in all lanes now */
    uint64_t messages;     /* pushes that leave with this turn: for the time-in-gateway histograms */
    uint64_t received_bytes, sent_bytes;
};

/* Pushes that waited for others (net/batch.h) and leave with this turn. */
struct net_late {
    uint64_t waited_ns; /* up to this turn's start */
    uint64_t messages;
    uint8_t side, transport;
};
enum { NET_LATE_MAX = 64 /* that differ; more of a turn count as the last of them */ };

struct net_stats {
    uint64_t queued_bytes; /* of all flows */
    uint64_t spills, pauses, resumes;
    uint64_t batches, batched; /* times a link waited for more, and what came to it meanwhile */
    struct net_flow flows[LINK_SIDES][TRANSPORTS];
    struct net_late late[NET_LATE_MAX]; /* who reads it sets late_count to 0, once a turn */
    unsigned late_count;
};

/* net/batch.h */
struct batch_limits {
    uint32_t window_ms; /* 0: no batching */
    uint32_t messages, bytes;
};
struct batch {             /* the links of one transport */
    struct list_node held; /* those that wait for more, the longest first */
    struct timer timer;
    uint32_t window_ms; /* now */
    struct batch_limits limits;
};

/* What the links of one worker share. */
struct net {
    struct ring *ring;
    struct slab *slab;
    struct list_node dirty[PRIORITIES]; /* links with something to send, by the most urgent of it */
    struct list_node closing;           /* links whose on_closed() is due */
    struct list_node wakes;             /* links whose on_woken() is due */
    struct list_node blocked;           /* links that wait for room in the kernel, the longest first */
    struct timer stall_timer;           /* when the first of them has waited for send_timeout_ms */
    struct batch batches[TRANSPORTS];
    struct pool outbounds, chunks;
    uint32_t high_mark, low_mark; /* bytes */
    uint32_t stop_mark;           /* a source is no longer read: one more receive stays below the high mark */
    uint32_t send_timeout_ms;     /* a peer that takes no byte for so long is dropped: CLOSE_SEND_STALLED */
    uint32_t linger_ms;           /* how long link_finish() waits for the peer's end */
    struct net_stats stats;
};

void net_init(struct net *net, struct ring *ring, struct slab *slab, uint32_t high_mark, uint32_t low_mark);
void net_done(struct net *net); /* asserts that nothing is queued */
/* Sends what is queued on the dirty links and reports the links that are closed. Once a turn. */
void net_flush(struct net *net);

/* What a link tells its owner. */
struct link_up {
    /* Bytes came; `bytes` is borrowed: keep it with span_ref(). */
    void (*on_bytes)(struct link *link, struct span bytes);
    /* The peer half-closed; the other direction still stands. */
    void (*on_end)(struct link *link);
    /* link_connect() came to its end (or the handshake of an accepted link did), the filter's handshake
     * included: 0, or a negated errno and then nothing was sent and all that is queued is still there: the
     * owner calls link_connect() again or link_abort(). A handshake that fails comes as on_broken(), with all
     * that is queued still there. */
    void (*on_connected)(struct link *link, int error);
    /* link_congested() became true because the kernel takes no more: the owner pauses the source now, before
     * more comes. It may have done so. May be NULL. */
    void (*on_congested)(struct link *link);
    /* The queue was congested and has fallen to the low mark. */
    void (*on_writable)(struct link *link);
    /* link_wake() was called. NULL for who never does. */
    void (*on_woken)(struct link *link);
    /* The connection broke (reset, send failed): the link has aborted itself; on_closed follows. May be NULL.
     */
    void (*on_broken)(struct link *link, enum close_reason reason);
    /* No operation is in flight, the descriptor is closed: free it. */
    void (*on_closed)(struct link *link, enum close_reason reason);
};

/* Turns bytes on their way in and out. Owned by the link: free() is called before on_closed(). None of its
 * functions is called from within a call that the link's owner makes. */
struct filter {
    const struct filter_ops *ops;
};

struct filter_ops {
    /* The stream stands: calls link_ready(), at once or from a later in(). NULL: the link is ready at once.
     */
    void (*start)(struct filter *filter, struct link *link);
    /* Bytes came; in LINK_STARTING also none at all, when the peer's end did: the filter can tell by
     * link_fail() what it was about. Calls link_deliver() any number of times, and link_deliver_end() at the
     * filter's own end of the stream, if it knows one. */
    void (*in)(struct filter *filter, struct link *link, struct span bytes);
    /* Bytes that were pushed, in the order of their lanes: calls link_transmit() any number of times. */
    void (*out)(struct filter *filter, struct link *link, const struct span *spans, unsigned count);
    /* All that was pushed has passed out(), and FIN is next: the filter's last words, by link_transmit().
     * NULL: it has none. */
    void (*end)(struct filter *filter, struct link *link);
    void (*free)(struct filter *filter);
};

enum link_state {
    LINK_NEW,        /* no descriptor; pushes are kept */
    LINK_CONNECTING, /* tx: connect in flight; pushes are kept */
    LINK_STARTING,   /* the filter shakes hands; pushes are kept */
    LINK_OPEN,
    LINK_FINISHING, /* link_finish(): sends the rest; what arrives is discarded */
    LINK_LINGERING, /* FIN sent; waits for the peer's */
    LINK_ABORTED,   /* waits for what is in flight */
    LINK_CLOSED,    /* on_closed() is due or was called */
    LINK_STATES
};

struct link {
    struct op rx, tx;
    struct net *net;
    const struct link_up *up;
    struct filter *filter;
    struct outbound *out;    /* NULL while nothing is queued */
    struct list_node woken;  /* on net's woken list */
    struct list_node node;   /* on net's dirty, held, blocked or closing list */
    struct timer timer;      /* the owner's until link_finish(), but for batch_rest(); then the link's own */
    uint64_t received_bytes; /* from the kernel */
    uint64_t sent_bytes;     /* of what was pushed: that the kernel took, or that passed the filter */
    uint32_t blocked_ms;     /* when it became blocked; milliseconds, wraps */
    uint32_t said_us; /* batch.c: the last message that may wait, the last rest's end; microseconds, wraps */
    union {           /* batch.c */
        uint32_t due_us;    /* until when it is held */
        uint32_t had_bytes; /* of received_bytes when said_us was set */
    };
    uint16_t waiting; /* batch.c: messages that wait, or have come since said_us */
    int fd;
    uint8_t state;           /* enum link_state */
    uint8_t reason;          /* enum close_reason */
    uint8_t side, transport; /* enum link_side, enum transport; only for the statistics */
    uint8_t urgency; /* enum priority: of what is in the lane PRIORITY_NORMAL; PRIORITY_NORMAL at first */
    uint8_t run;     /* receives in a row that speak for the other buffer group */
    bool paused : 1, bulk : 1, large : 1, ended : 1, congested : 1, reset : 1, stalled : 1, end_due : 1;
    bool is_held : 1;  /* batch.c: on the list of those that wait */
    bool rests : 1;    /* batch.c: does not receive until its timer runs */
    bool rested : 1;   /* batch.c: receives one buffer at a time, and rests between */
    bool has_more : 1; /* than what came last, as far as one knows; or the end */
    bool end_told : 1; /* on_end() by link_deliver_end() */
    bool end_said : 1; /* the filter's end() was called */
    bool farewell : 1; /* finishing: the owner was told already; after the filter's last words it aborts */
};

_Static_assert(sizeof(struct link) <= 192, "an idle stream has two links");

/* `link` is zeroed memory; its transport is TRANSPORT_HTTP. */
void link_init(struct link *link, struct net *net, const struct link_up *up, enum link_side side);
/* What passes from now on, and what is queued, is counted as that. */
void link_set_transport(struct link *link, enum transport transport);
/* Takes a connected, blocking descriptor and starts to receive; what was pushed before leaves now. */
void link_open(struct link *link, int fd);
/* Connects; done by on_connected() (never from within). Also again after a failure. 0 or a negated errno. */
int link_connect(struct link *link, const struct sockaddr *addr, socklen_t addr_len);
/* The filter is set before the first byte moves; one that starts with a handshake, of a link in LINK_NEW. */
void link_set_filter(struct link *link, struct filter *filter);

/* Queues `bytes` in the lane of that priority: takes a reference of its own, or copies what is small and fits
 * behind the span before it. Without memory for a copy the link aborts itself: on_closed() tells later,
 * nothing is called from here. */
void link_push(struct link *link, enum priority lane, struct span bytes);
/* The same, and gives the caller's reference back. */
static inline void
link_push_own(struct link *link, enum priority lane, struct span bytes)
{
    link_push(link, lane, bytes);
    span_unref(bytes);
}
/* What was pushed last in this lane ends a message: another lane's may leave after it. */
void link_end_message(struct link *link, enum priority lane);
/* What is queued leaves in the order that it would leave in now, whatever is pushed behind it in the lane
 * PRIORITY_LOW: for a last word. */
void link_join_lanes(struct link *link);

/* For filters. */
/* What is pushed may pass from now on. May call up (on_connected). */
void link_ready(struct link *link);
/* Bytes for the owner, and the end of what the peer sends, as told within the stream. Call up. */
void link_deliver(struct link *link, struct span bytes);
void link_deliver_end(struct link *link);
/* Queues a copy for the wire; false when there is no memory for it or the peer makes the filter talk (more
 * than LINK_WIRE_MAX bytes wait): the filter gives up. */
bool link_transmit(struct link *link, const void *bytes, size_t len);
/* The stream is of no use any more: on_broken(reason), then the link ends by itself, once what the filter has
 * transmitted (an alert) had its one chance to leave. */
void link_fail(struct link *link, enum close_reason reason);
enum { LINK_WIRE_MAX = 256 << 10 };

uint32_t link_queued(const struct link *link); /* bytes queued or in flight */
bool link_blocked(const struct link *link);    /* the kernel's send buffer is full */
/* The kernel has been given all that was pushed; what it took of a send that is on its way is not known yet.
 */
bool link_is_flushed(const struct link *link);
/* The kernel takes no more, or the queue is above the stop mark: the owner pauses the source; on_writable()
 * tells when to resume it. */
bool link_congested(struct link *link);

/* Flow control of what is received. A few bytes may still arrive after link_pause(). */
void link_pause(struct link *link);
void link_resume(struct link *link);
/* It brings small pieces in quick succession: see ring_delay_acks(). */
void link_delay_acks(struct link *link);
/* The buffer group, for who knows better than the link does by itself. */
void link_set_bulk(struct link *link, bool bulk);

/* While it is received in bulk, large buffers may be used: for who passes on what it brings as it is, to a
 * link without a filter (link_stops), and wants no less than such a buffer holds. */
void link_set_large(struct link *link, bool large);
/* As link_congested(), for who has just pushed on `sink` what `source` brought: a large buffer stops its
 * source by itself until all of it has left. */
bool link_stops(struct link *sink, const struct link *source);

/* The peer's end of file came without the end that its filter promises: what only an end of file delimits may
 * be cut short. */
static inline bool
link_truncated(const struct link *link)
{
    return link->filter && link->filter->ops->end && link->ended && !link->end_told;
}

/* Nothing of what was pushed since link->sent_bytes stood at `sent_bytes` has been sent: it may move to
 * another link (link_move_queue). */
bool link_is_unsent(const struct link *link, uint64_t sent_bytes);

/* Takes back what is unsent in that sense. False, and nothing is changed: some of it has left, or the link
 * does not stand (any more). */
bool link_withdraw(struct link *link, uint64_t sent_bytes);

void link_finish(struct link *link, enum close_reason reason);
/* `reset`: the peer shall see a reset instead of an orderly end (a truncated close-delimited reply). An idle
 * link whose filter has last words says them first: on_closed() comes a turn or two later. */
void link_abort(struct link *link, enum close_reason reason, bool reset);

/* The first bytes queued, of which nothing was sent yet (buf NULL: there are none), and other ones in their
 * place (takes over the reference). */
struct span link_first(const struct link *link);
void link_replace_first(struct link *link, struct span bytes);

/* Asks for on_woken() from the next net_flush(): for what must not happen within the caller's own caller. */
void link_wake(struct link *link);
/* Half-closes: FIN when the queue has left; the other direction goes on. For tunnels. */
void link_end_sending(struct link *link);

/* Hands what is queued on `from`, of which nothing was sent, to `to`, behind what is queued there. `from` may
 * be broken (from within on_broken). Without memory for a copy `to` is aborted. */
void link_move_queue(struct link *from, struct link *to);

#endif
