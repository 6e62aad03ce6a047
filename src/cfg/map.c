/* SPDX-License-Identifier: Apache-2.0 */
#include "cfg/map.h"

#include "cfg/cfg.h"
#include "cfg/options.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL };

static int
write_all(int fd, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

int
cfg_seal(const struct config *c)
{
    int fd = memfd_create("mcpgate-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int result;

    if (fd < 0)
        return -errno;
    result = write_all(fd, (const char *)c, c->total);
    if (result == 0 && fcntl(fd, F_ADD_SEALS, SEALS) < 0)
        result = -errno;
    if (result < 0) {
        close(fd);
        return result;
    }
    return fd;
}

/* ---- bounds ---- */

static bool
is_text_inside(const struct config *c, struct cfg_text t)
{
    return t.off >= sizeof *c && t.off < c->total && t.len < c->total - t.off &&
           ((const char *)c)[t.off + t.len] == 0;
}

static bool
is_array_inside(const struct config *c, struct cfg_array a, size_t size, uint32_t most)
{
    return a.off >= sizeof *c && a.off % 8 == 0 && a.off <= c->total && a.count <= most &&
           a.count * size <= c->total - a.off;
}

static bool
are_texts_inside(const struct config *c, const struct cfg_text *texts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!is_text_inside(c, texts[i]))
            return false;
    }
    return true;
}

static bool
is_list_inside(const struct config *c, struct cfg_array list, uint32_t most)
{
    return is_array_inside(c, list, sizeof(struct cfg_text), most) &&
           are_texts_inside(c, cfg_items(c, list), list.count);
}

static bool
are_rows_inside(const struct config *c)
{
    for (unsigned i = 0; i < cfg_options_count; i++) {
        const struct cfg_option *option = &cfg_options[i];
        const void *field = (const char *)c + option->offset;

        if (option->type == CFG_TYPE_TEXT && !is_text_inside(c, *(const struct cfg_text *)field))
            return false;
        if (option->type == CFG_TYPE_LIST &&
            !is_list_inside(c, *(const struct cfg_array *)field, CFG_LIST_MAX))
            return false;
    }
    return true;
}

static bool
is_listener_inside(const struct config *c, const struct cfg_listener *listener)
{
    return is_text_inside(c, listener->text) && is_text_inside(c, listener->path);
}

static bool
are_listeners_inside(const struct config *c)
{
    const struct cfg_listener *listeners = cfg_items(c, c->listen);

    if (!is_array_inside(c, c->listen, sizeof *listeners, CFG_LISTENERS_MAX) ||
        !is_listener_inside(c, &c->admin))
        return false;
    for (uint32_t i = 0; i < c->listen.count; i++) {
        if (!is_listener_inside(c, &listeners[i]))
            return false;
    }
    return true;
}

static bool
is_endpoint_inside(const struct config *c, const struct cfg_endpoint *e)
{
    const struct cfg_text texts[] = {e->url, e->host, e->authority, e->path, e->unix_path};

    return are_texts_inside(c, texts, sizeof texts / sizeof *texts);
}

static bool
is_upstream_inside(const struct config *c, const struct cfg_upstream *u)
{
    const struct cfg_endpoint *endpoints = cfg_items(c, u->endpoints);
    const struct cfg_field *fields = cfg_items(c, u->headers);

    if (!is_text_inside(c, u->name) ||
        !is_array_inside(c, u->endpoints, sizeof *endpoints, CFG_ENDPOINTS_MAX) ||
        !is_array_inside(c, u->headers, sizeof *fields, CFG_HEADERS_MAX) ||
        !is_list_inside(c, u->stdio.args, CFG_ARGS_MAX) || !is_list_inside(c, u->stdio.env, CFG_ENV_MAX) ||
        !is_text_inside(c, u->stdio.cwd))
        return false;
    for (uint32_t i = 0; i < u->endpoints.count; i++) {
        if (!is_endpoint_inside(c, &endpoints[i]))
            return false;
    }
    for (uint32_t i = 0; i < u->headers.count; i++) {
        if (!is_text_inside(c, fields[i].name) || !is_text_inside(c, fields[i].value))
            return false;
    }
    return true;
}

bool
cfg_is_whole(const struct config *c, size_t size)
{
    const struct cfg_upstream *upstreams;

    if (size < sizeof *c || c->magic != CFG_MAGIC || c->total != size || !are_rows_inside(c) ||
        !are_listeners_inside(c) || !is_array_inside(c, c->upstreams, sizeof *upstreams, CFG_UPSTREAMS_MAX))
        return false;
    upstreams = cfg_items(c, c->upstreams);
    for (uint32_t i = 0; i < c->upstreams.count; i++) {
        if (!is_upstream_inside(c, &upstreams[i]))
            return false;
    }
    return true;
}

const struct config *
cfg_map(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;
    void *at;

    if (seals < 0 || (seals & SEALS) != SEALS) {
        errno = EPERM;
        return NULL;
    }
    if (fstat(fd, &st) < 0)
        return NULL;
    if (st.st_size < (off_t)sizeof(struct config)) {
        errno = EPROTO;
        return NULL;
    }
    /* Private: kernels before 6.7 refuse a shared mapping of what is sealed against writing. */
    at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return NULL;
    if (!cfg_is_whole(at, (size_t)st.st_size)) {
        munmap(at, (size_t)st.st_size);
        errno = EPROTO;
        return NULL;
    }
    return at;
}
