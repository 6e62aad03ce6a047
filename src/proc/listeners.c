/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/listeners.h"

#include "base/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { SOCKET_FLAGS = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK };

static bool
set_option(int fd, int level, int option)
{
    const int on = 1;

    return setsockopt(fd, level, option, &on, sizeof on) == 0;
}

/* --- addresses --- */

static int
set_unix_address(struct listener *l, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&l->addr.storage;
    size_t len = strlen(path);

    if (len >= sizeof un->sun_path)
        return -ENAMETOOLONG;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len + 1);
    l->addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return 0;
}

static void
set_ip_address(struct listener *l, const struct cfg_listener *want)
{
    if (want->is_v6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&l->addr.storage;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(want->port);
        memcpy(&in6->sin6_addr, want->ip, sizeof want->ip);
        l->addr_len = sizeof *in6;
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)&l->addr.storage;
        in->sin_family = AF_INET;
        in->sin_port = htons(want->port);
        memcpy(&in->sin_addr, want->ip + 12, 4);
        l->addr_len = sizeof *in;
    }
}

static void
set_url(struct listener *l)
{
    char ip[INET6_ADDRSTRLEN];

    if (l->is_unix) {
        snprintf(l->url, sizeof l->url, "%s", l->text);
    } else if (l->addr.any.sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&l->addr.storage;
        inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof ip);
        snprintf(l->url, sizeof l->url, "http://[%s]:%u", ip, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&l->addr.storage;
        inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip);
        snprintf(l->url, sizeof l->url, "http://%s:%u", ip, ntohs(in->sin_port));
    }
}

/* --- sockets --- */

static const char *
way_out(const struct listener *l, int error)
{
    switch (error) {
    case EADDRINUSE:
        return l->is_unix ? "a process is listening there: stop it, or choose another path"
                          : "the port is in use: stop what listens there, or choose another port (0 picks a "
                            "free one)";
    case EACCES:
        return l->is_unix
                   ? "permission denied: choose a directory that this user may write to"
                   : "permission denied: ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one";
    case EADDRNOTAVAIL:
        return "no interface has this address: see `ip address`";
    case EAFNOSUPPORT:
        return "this machine has no IPv6: listen on an IPv4 address";
    case EMFILE:
    case ENFILE:
        return "too few descriptors: raise `ulimit -n`, or LimitNOFILE= in the unit";
    default:
        return strerror(error);
    }
}

/* A bound TCP socket, or a negated errno. Options of a listener are those of the sockets it accepts. */
static int
bind_tcp(const struct listener *l, bool reuseport)
{
    int fd = socket(l->addr.any.sa_family, SOCKET_FLAGS, 0);

    if (fd < 0)
        return -errno;
    if (!set_option(fd, SOL_SOCKET, SO_REUSEADDR) ||
        (reuseport && !set_option(fd, SOL_SOCKET, SO_REUSEPORT)) ||
        (l->addr.any.sa_family == AF_INET6 && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY)) ||
        !set_option(fd, IPPROTO_TCP, TCP_NODELAY) || bind(fd, &l->addr.any, l->addr_len)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

/* Before listen(): the window's scale is chosen by the buffer (tcp(7)). */
static bool
set_buffers(int fd, uint64_t bytes)
{
    const int n = (int)bytes; /* the option's maximum fits */

    return !bytes || (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof n) == 0 &&
                      setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n, sizeof n) == 0);
}

static bool
set_congestion(int fd, const char *name)
{
    return !*name || setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) == 0;
}

static int
open_tcp(struct listener *l, const struct config *config)
{
    int fd = bind_tcp(l, true);

    if (fd < 0)
        return fd;
    if (!set_congestion(fd, cfg_text(config, config->congestion).at) ||
        !set_buffers(fd, config->client_buffer) || getsockname(fd, &l->addr.any, &l->addr_len) ||
        listen(fd, LISTENER_BACKLOG)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

/* SO_REUSEPORT would let us share a port with another process of this user; a bind without it tells. */
static int
probe_tcp(const struct listener *l)
{
    int fd = bind_tcp(l, false);

    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

/* A socket file that nobody listens on is what a killed gateway leaves behind. */
static int
remove_stale_socket(const struct listener *l)
{
    const char *path = ((const struct sockaddr_un *)&l->addr.storage)->sun_path;
    struct stat st;
    int r = 0;

    if (lstat(path, &st))
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    int fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, &l->addr.any, l->addr_len) == 0 || errno == EAGAIN)
        r = -EADDRINUSE;
    else if (errno != ECONNREFUSED)
        r = -errno;
    close(fd);
    if (r == 0 && unlink(path) && errno != ENOENT)
        r = -errno;
    return r;
}

static int
open_unix(struct listener *l)
{
    struct stat st;
    int r = remove_stale_socket(l);

    if (r < 0)
        return r;
    int fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
    if (fd < 0)
        return -errno;
    if (bind(fd, &l->addr.any, l->addr_len) || listen(fd, LISTENER_BACKLOG) ||
        lstat(((const struct sockaddr_un *)&l->addr.storage)->sun_path, &st)) {
        r = -errno;
        close(fd);
        return r;
    }
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    return fd;
}

/* --- the set --- */

static void
close_from(struct listener *l, unsigned first)
{
    while (l->fd_count > first)
        close(l->fds[--l->fd_count]);
    if (l->fd_count > 0)
        return;
    if (l->is_unix) {
        const char *path = ((const struct sockaddr_un *)&l->addr.storage)->sun_path;
        struct stat st;
        if (lstat(path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
            unlink(path);
    }
    memset(l, 0, sizeof *l);
}

static int
explain(const struct listener *l, int r, char *why, size_t why_size)
{
    if (r == -EEXIST)
        snprintf(why, why_size, "cannot listen on %s: a file that is no socket is there: choose another path",
                 l->text);
    else
        snprintf(why, why_size, "cannot listen on %s: %s", l->text, way_out(l, -r));
    return r;
}

static struct listener *
find(struct listeners *set, const struct config *config, const struct cfg_listener *want)
{
    struct text text = cfg_text(config, want->text);

    for (size_t i = 0; i < sizeof set->items / sizeof *set->items; i++) {
        struct listener *l = &set->items[i];
        if (l->text[0] && l->is_admin == (want == &config->admin) && text_eq(text_of(l->text), text))
            return l;
    }
    return NULL;
}

/* One that is known to be open. */
static struct listener *
get(struct listeners *set, const struct config *config, const struct cfg_listener *want)
{
    struct listener *l = find(set, config, want);

    ASSERT(l);
    return l;
}

static struct listener *
claim(struct listeners *set, const struct config *config, const struct cfg_listener *want)
{
    struct text text = cfg_text(config, want->text);

    for (size_t i = 0; i < sizeof set->items / sizeof *set->items; i++) {
        struct listener *l = &set->items[i];
        if (l->text[0])
            continue;
        snprintf(l->text, sizeof l->text, "%.*s", (int)text.len, text.at);
        l->is_unix = want->is_unix;
        l->is_admin = want == &config->admin;
        return l;
    }
    UNREACHABLE(); /* there is room for the addresses of two configurations */
}

/* Opens sockets until there are `count`. A port that the system picked for the first is everybody's. */
static int
grow(struct listener *l, const struct config *config, unsigned count, char *why, size_t why_size)
{
    while (l->fd_count < count) {
        int fd = l->is_unix ? open_unix(l) : open_tcp(l, config);
        if (fd == -ENOENT && !l->is_unix) { /* what TCP_CONGESTION says of an unknown name */
            snprintf(why, why_size,
                     "--congestion %s is not known to this kernel: see "
                     "/proc/sys/net/ipv4/tcp_available_congestion_control",
                     cfg_text(config, config->congestion).at);
            return fd;
        }
        if (fd < 0)
            return explain(l, fd, why, why_size);
        l->fds[l->fd_count++] = fd;
    }
    return 0;
}

static int
open_one(struct listeners *set, const struct config *config, const struct cfg_listener *want, unsigned count,
         char *why, size_t why_size)
{
    struct listener *l = find(set, config, want);
    int r = 0;

    if (!l) {
        l = claim(set, config, want);
        if (want->is_unix)
            r = set_unix_address(l, cfg_text(config, want->path).at);
        else
            set_ip_address(l, want);
        if (r == 0 && !want->is_unix)
            r = probe_tcp(l);
        if (r < 0) {
            explain(l, r, why, why_size);
            close_from(l, 0);
            return r;
        }
    }
    r = grow(l, config, want->is_unix ? 1 : count, why, why_size);
    if (l->fd_count == 0)
        close_from(l, 0);
    else
        set_url(l);
    return r;
}

int
listeners_open(struct listeners *set, const struct config *config, unsigned workers, char *why,
               size_t why_size)
{
    const struct cfg_listener *listen_on = cfg_items(config, config->listen);
    int r = 0;

    ASSERT(workers > 0 && workers <= LISTENER_WORKERS_MAX && config->listen.count <= CFG_LISTENERS_MAX);
    for (uint32_t i = 0; i < config->listen.count && r == 0; i++)
        r = open_one(set, config, &listen_on[i], workers, why, why_size);
    if (r == 0 && !config->admin_off)
        r = open_one(set, config, &config->admin, 1, why, why_size);
    return r;
}

/* How many sockets of this address a configuration wants. */
static unsigned
wanted(const struct listener *l, const struct config *config, unsigned workers)
{
    const struct cfg_listener *listen_on;

    if (!config)
        return 0;
    if (l->is_admin)
        return !config->admin_off && text_eq(text_of(l->text), cfg_text(config, config->admin.text));
    listen_on = cfg_items(config, config->listen);
    for (uint32_t i = 0; i < config->listen.count; i++)
        if (text_eq(text_of(l->text), cfg_text(config, listen_on[i].text)))
            return l->is_unix ? 1 : workers;
    return 0;
}

void
listeners_keep(struct listeners *set, const struct config *config, unsigned workers)
{
    for (size_t i = 0; i < sizeof set->items / sizeof *set->items; i++)
        if (set->items[i].text[0])
            close_from(&set->items[i], wanted(&set->items[i], config, workers));
}

const char *
listeners_url(struct listeners *set, const struct config *config, unsigned i)
{
    return get(set, config, (const struct cfg_listener *)cfg_items(config, config->listen) + i)->url;
}

const char *
listeners_admin_url(struct listeners *set, const struct config *config)
{
    return get(set, config, &config->admin)->url;
}

void
listeners_client_urls(struct listeners *set, const struct config *config, char *text, size_t size)
{
    size_t len = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < config->listen.count; i++) {
        const char *url = listeners_url(set, config, i);

        if (cfg_listeners(config)[i].is_unix || len + 1 + strlen(url) >= size)
            continue;
        len += (size_t)snprintf(text + len, size - len, "%s%s", len ? " " : "", url);
    }
}

unsigned
listeners_of_worker(struct listeners *set, const struct config *config, unsigned index,
                    int ret_fds[HANDOVER_LISTENERS_MAX])
{
    const struct cfg_listener *listen_on = cfg_items(config, config->listen);

    for (uint32_t i = 0; i < config->listen.count; i++) {
        const struct listener *l = get(set, config, &listen_on[i]);
        ret_fds[i] = l->fds[l->is_unix ? 0 : index];
    }
    return config->listen.count;
}

unsigned
listeners_own_sockets(struct listeners *set, const struct config *config, unsigned index,
                      int ret_fds[HANDOVER_LISTENERS_MAX])
{
    const struct cfg_listener *listen_on = cfg_items(config, config->listen);
    unsigned count = 0;

    for (uint32_t i = 0; i < config->listen.count; i++)
        if (!listen_on[i].is_unix)
            ret_fds[count++] = get(set, config, &listen_on[i])->fds[index];
    return count;
}

unsigned
listeners_of_admin(struct listeners *set, const struct config *config, int ret_fds[HANDOVER_LISTENERS_MAX])
{
    if (config->admin_off)
        return 0;
    ret_fds[0] = get(set, config, &config->admin)->fds[0];
    return 1;
}

/* --- home listeners --- */

int
listeners_open_home(const char *run_dir, unsigned slot, uid_t uid, gid_t gid)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd, r = 0;

    if ((size_t)snprintf(un.sun_path, sizeof un.sun_path, HOME_PATH_FORMAT, run_dir, slot) >=
        sizeof un.sun_path)
        return -ENAMETOOLONG;
    if (unlink(un.sun_path) && errno != ENOENT) /* the run directory's lock is ours: it is a dead gateway's */
        return -errno;
    fd = socket(AF_UNIX, SOCKET_FLAGS, 0);
    if (fd < 0)
        return -errno;
    mode_t mask = umask(0177);
    if (bind(fd, (const struct sockaddr *)&un, sizeof un) || listen(fd, LISTENER_BACKLOG) ||
        (uid != (uid_t)-1 && chown(un.sun_path, uid, gid)))
        r = -errno;
    umask(mask);
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

void
listeners_remove_home(const char *run_dir, unsigned slot)
{
    char path[sizeof(struct sockaddr_un)];

    if ((size_t)snprintf(path, sizeof path, HOME_PATH_FORMAT, run_dir, slot) < sizeof path)
        unlink(path);
}
