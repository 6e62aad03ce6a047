/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/resolve.h"

#include "base/check.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "ipc/resolve.h"
#include "stats/stats.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHANNELS_MAX = 256, LOOP_MS = 1000, THREAD_STACK = 512 << 10 };

/* Counted, because a question may still be at a name server when its asker has gone. Under the lock. */
struct channel {
    int fd; /* -1: the asker has gone */
    unsigned refs;
};

struct job {
    struct channel *channel; /* a counted reference */
    struct resolve_question question;
};

struct resolver {
    pthread_mutex_t lock;
    pthread_cond_t work;
    unsigned first, count;               /* of the queue, under the lock */
    struct job queue[RESOLVE_QUEUE_MAX]; /* under the lock */
    /* the main thread's */
    unsigned channel_count;
    struct channel *channels[CHANNELS_MAX];
};

/* --- under the lock --- */

static void
channel_unref(struct channel *channel)
{
    if (--channel->refs == 0)
        free(channel);
}

static bool
queue_put(struct resolver *r, struct channel *channel, const struct resolve_question *question)
{
    if (r->count == RESOLVE_QUEUE_MAX)
        return false;
    r->queue[(r->first + r->count) % RESOLVE_QUEUE_MAX] = (struct job){channel, *question};
    r->count++;
    channel->refs++;
    return true;
}

static struct job
queue_take(struct resolver *r)
{
    struct job job = r->queue[r->first];

    r->first = (r->first + 1) % RESOLVE_QUEUE_MAX;
    r->count--;
    return job;
}

/* --- answers --- */

static void
set_error(struct resolve_answer *answer, int error)
{
    const char *text = gai_strerror(error);

    answer->error = error;
    memcpy(answer->text, text, strnlen(text, sizeof answer->text - 1));
}

static void
add_address(struct resolve_answer *answer, const struct addrinfo *ai, uint16_t port)
{
    uint8_t *ip = answer->addresses[answer->count].ip;

    if (ai->ai_family == AF_INET) {
        ip[10] = ip[11] = 0xff; /* RFC 4291 2.5.5.2 */
        memcpy(ip + 12, &((const struct sockaddr_in *)(const void *)ai->ai_addr)->sin_addr, 4);
        answer->addresses[answer->count].is_v4 = 1;
    } else if (ai->ai_family == AF_INET6) {
        memcpy(ip, &((const struct sockaddr_in6 *)(const void *)ai->ai_addr)->sin6_addr, 16);
    } else {
        return;
    }
    answer->addresses[answer->count++].port = port;
}

/* May take as long as the name servers' time limits add up to. */
static void
look_up(const struct resolve_question *question, struct resolve_answer *answer)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int error = getaddrinfo(question->name, NULL, &hints, &list);

    if (error) {
        set_error(answer, error);
        return;
    }
    for (const struct addrinfo *ai = list; ai && answer->count < RESOLVE_ADDRESSES_MAX; ai = ai->ai_next)
        add_address(answer, ai, question->port);
    freeaddrinfo(list);
    if (answer->count == 0)
        set_error(answer, EAI_NONAME);
}

static void *
thread_main(void *arg)
{
    struct resolver *r = arg;

    for (;;) {
        struct resolve_answer answer = {0};

        pthread_mutex_lock(&r->lock);
        while (r->count == 0)
            pthread_cond_wait(&r->work, &r->lock);
        struct job job = queue_take(r);
        pthread_mutex_unlock(&r->lock);

        answer.id = job.question.id;
        look_up(&job.question, &answer);

        pthread_mutex_lock(&r->lock);
        if (job.channel->fd >= 0)
            (void)channel_send(job.channel->fd, &answer, sizeof answer, NULL, 0);
        channel_unref(job.channel);
        pthread_mutex_unlock(&r->lock);
    }
    return NULL;
}

static int
start_threads(struct resolver *r)
{
    pthread_attr_t attr;
    pthread_t thread;
    int error = pthread_attr_init(&attr);

    pthread_attr_setstacksize(&attr, THREAD_STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (unsigned i = 0; i < RESOLVE_THREADS && !error; i++)
        error = pthread_create(&thread, &attr, thread_main, r);
    pthread_attr_destroy(&attr);
    return -error;
}

/* --- the main thread --- */

static void
add_channel(struct resolver *r, int fd)
{
    struct channel *channel = r->channel_count < CHANNELS_MAX ? calloc(1, sizeof *channel) : NULL;

    if (!channel) {
        log_warning("too many channels: a worker will find no names");
        close(fd);
        return;
    }
    *channel = (struct channel){fd, 1};
    r->channels[r->channel_count++] = channel;
}

static void
remove_channel(struct resolver *r, unsigned i)
{
    struct channel *channel = r->channels[i];

    r->channels[i] = r->channels[--r->channel_count];
    pthread_mutex_lock(&r->lock);
    close(channel->fd);
    channel->fd = -1;
    channel_unref(channel);
    pthread_mutex_unlock(&r->lock);
}

static void
take_question(struct resolver *r, struct channel *channel, struct resolve_question *question)
{
    struct resolve_answer answer = {.id = question->id};
    bool queued;

    question->name[RESOLVE_NAME_MAX] = '\0';
    pthread_mutex_lock(&r->lock);
    queued = queue_put(r, channel, question);
    if (queued)
        pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->lock);
    if (!queued) {
        set_error(&answer, EAI_AGAIN);
        (void)channel_send(channel->fd, &answer, sizeof answer, NULL, 0);
    }
}

/* False when the channel has ended. */
static bool
read_channel(struct resolver *r, struct channel *channel)
{
    struct resolve_question question;
    unsigned no_fds = 0;

    for (unsigned i = 0; i < RESOLVE_QUEUE_MAX; i++) {
        int n = channel_receive(channel->fd, &question, sizeof question, NULL, &no_fds);
        if (n == -EAGAIN)
            return true;
        if (n != sizeof question)
            return false;
        take_question(r, channel, &question);
    }
    return true;
}

/* False when this process is to end. */
static bool
read_control(struct resolver *r, int control_fd)
{
    struct control message;
    unsigned count = 1;
    int fd, n = control_receive(control_fd, &message, &fd, &count);

    if (n == -EAGAIN)
        return true;
    if (n <= 0)
        return false;
    if (message.kind == CONTROL_RESOLVE && count == 1)
        add_channel(r, fd);
    else if (count == 1)
        close(fd);
    if (message.kind == CONTROL_LOG_LEVEL)
        log_set_level((enum log_level)message.arg);
    return message.kind != CONTROL_STOP;
}

static uint64_t
now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void
loop(struct resolver *r, struct child *child)
{
    struct pollfd polled[1 + CHANNELS_MAX];
    bool running = true;

    while (running) {
        unsigned count = r->channel_count;

        polled[0] = (struct pollfd){child->control_fd, POLLIN, 0};
        for (unsigned i = 0; i < count; i++)
            polled[1 + i] = (struct pollfd){r->channels[i]->fd, POLLIN, 0};
        poll(polled, 1 + count, LOOP_MS);
        stats_turn(child->slot, now_ns());
        for (unsigned i = count; i-- > 0;) /* downwards: removing moves the last one into the gap */
            if (polled[1 + i].revents && !read_channel(r, r->channels[i]))
                remove_channel(r, i);
        if (polled[0].revents)
            running = read_control(r, child->control_fd);
    }
}

int
resolve_main(struct child *child)
{
    static struct resolver resolver = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};
    int r = start_threads(&resolver);

    if (r < 0) {
        control_send(
            child->control_fd, CONTROL_FAILED, child->h.epoch, (uint32_t)-r, 0,
            "cannot start threads for name look-ups: raise the limit of processes (ulimit -u, TasksMax=)",
            NULL, 0);
        return 1;
    }
    stats_slot_set_state(child->slot, SLOT_READY);
    control_send(child->control_fd, CONTROL_READY, child->h.epoch, 0, 0, NULL, NULL, 0);
    loop(&resolver, child);
    return 0; /* exit() ends the threads wherever they are */
}
