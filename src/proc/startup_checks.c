/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/startup_checks.h"

#include "ipc/handover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

enum {
    OWN_FDS = 32,   /* a process's own: standard ones, handover, ring, epoll, journals */
    SPARE_FDS = 64, /* below so many for connections a process is of no use */
    RING_KIB = 560, /* locked by one io_uring of 4096/16384 entries with its buffer rings */
};

int
startup_check_descriptors(const struct config *config, unsigned workers, char *why, size_t why_size)
{
    uint64_t listeners = config->listen.count;
    uint64_t child_base = OWN_FDS + HANDOVER_FDS + listeners;
    /* The supervisor holds every listener, and a pidfd, a control socket and a home listener a worker; twice,
     * for the time of a reload. */
    uint64_t supervisor_needs = OWN_FDS + 2ull * workers * (listeners + 3);
    uint64_t full = child_base + 2 * config->max_connections; /* a client and an upstream each */
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return 0;
    uint64_t least = child_base + SPARE_FDS > supervisor_needs ? child_base + SPARE_FDS : supervisor_needs;
    if (limit.rlim_cur < least) {
        snprintf(why, why_size,
                 "too few descriptors: the limit is %" PRIu64 " and %u workers with %" PRIu64
                 " listeners need at least %" PRIu64 ": raise `ulimit -n`, or LimitNOFILE= in the unit",
                 (uint64_t)limit.rlim_cur, workers, listeners, least);
        return -EMFILE;
    }
    if (limit.rlim_cur < full) {
        snprintf(why, why_size,
                 "the limit of %" PRIu64 " descriptors is below the %" PRIu64
                 " that --max-connections %" PRIu64
                 " may need in each worker: raise `ulimit -n`, or LimitNOFILE= in the unit, or lower "
                 "--max-connections",
                 (uint64_t)limit.rlim_cur, full, config->max_connections);
        return 1;
    }
    return 0;
}

void
startup_explain_failure(unsigned workers, unsigned rings, uint32_t error, const char *text, char *line,
                        size_t size)
{
    struct rlimit limit;
    uint64_t need_kib = (uint64_t)rings * RING_KIB;
    char fewer[48] = "";

    if (workers > 1)
        snprintf(fewer, sizeof fewer, ", or use fewer --workers than %u", workers);
    else if (rings > workers)
        snprintf(fewer, sizeof fewer, ", or use --admin off");
    /* Rings of all processes of a uid count together (kernel 6.14 and later), so one alone cannot name the
     * sum. */
    if (error == ENOMEM && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        snprintf(line, size,
                 "%s (%u io_urings lock about %" PRIu64 " KiB together; the limit is %" PRIu64
                 " KiB: raise `ulimit -l`, or LimitMEMLOCK= in the unit%s)",
                 text, rings, need_kib, (uint64_t)limit.rlim_cur / 1024, fewer);
    else
        snprintf(line, size, "%s", text);
}
