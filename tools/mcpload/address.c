/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and URLs; see address.h. */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static int
unix_address(const char *path, size_t len, struct address *ret, char *why, size_t why_size)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&ret->sa;

    if (len == 0 || len >= sizeof(un->sun_path)) {
        snprintf(why, why_size, "unix:%s: the path must have 1 to %zu bytes", path, sizeof(un->sun_path) - 1);
        return -EINVAL;
    }
    memset(un, 0, sizeof(*un));
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len);
    ret->len = (socklen_t)sizeof(*un);
    return 0;
}

int
address_parse(const char *text, struct address *ret, char *why, size_t why_size)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    const char *colon = strrchr(text, ':');
    char host[256];
    size_t len;
    int err;

    if (strncmp(text, "unix:", 5) == 0)
        return unix_address(text + 5, strlen(text + 5), ret, why, why_size);
    len = colon ? (size_t)(colon - text) : 0;
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    if (!colon || len == 0 || len >= sizeof(host)) {
        snprintf(why, why_size, "%s: write an address as HOST:PORT or unix:PATH", text);
        return -EINVAL;
    }
    memcpy(host, text, len);
    host[len] = '\0';
    err = getaddrinfo(host, colon + 1, &hints, &list);
    if (err) {
        snprintf(why, why_size, "%s: %s", text, gai_strerror(err));
        return -EINVAL;
    }
    memcpy(&ret->sa, list->ai_addr, list->ai_addrlen);
    ret->len = list->ai_addrlen;
    freeaddrinfo(list);
    return 0;
}

static int
unix_url(const char *text, struct url *ret, char *why, size_t why_size)
{
    const char *socket = text + strlen("http+unix:"), *colon = strchr(socket, ':');
    size_t len = colon ? (size_t)(colon - socket) : strlen(socket);

    snprintf(ret->authority, sizeof(ret->authority), "localhost");
    snprintf(ret->path, sizeof(ret->path), "%s", colon ? colon + 1 : "/");
    return unix_address(socket, len, &ret->address, why, why_size);
}

int
url_parse(const char *text, struct url *ret, char *why, size_t why_size)
{
    const char *host = strstr(text, "://"), *slash, *bracket;
    char with_port[270];
    size_t len;

    if (strncmp(text, "http+unix:", 10) == 0)
        return unix_url(text, ret, why, why_size);
    if (strncmp(text, "http://", 7) != 0 && strncmp(text, "ws://", 5) != 0) {
        snprintf(why, why_size, "%s: write the URL as http://HOST:PORT/PATH or ws://HOST:PORT/PATH", text);
        return -EINVAL;
    }
    host += strlen("://");
    slash = strpbrk(host, "/?");
    len = slash ? (size_t)(slash - host) : strlen(host);
    if (len == 0 || len >= sizeof(ret->authority) || (slash && strlen(slash) + 2 > sizeof(ret->path))) {
        snprintf(why, why_size, "%s: its host or path is empty or too long", text);
        return -EINVAL;
    }
    memcpy(ret->authority, host, len);
    ret->authority[len] = '\0';
    snprintf(ret->path, sizeof(ret->path), "%s%s", slash && *slash == '/' ? "" : "/", slash ? slash : "");
    bracket = strrchr(ret->authority, ']');
    snprintf(with_port, sizeof(with_port), "%s%s", ret->authority,
             strchr(bracket ? bracket : ret->authority, ':') ? "" : ":80");
    return address_parse(with_port, &ret->address, why, why_size);
}

static void
describe(int fd, const struct address *wanted, const char *text, char ret_text[128])
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    char host[INET6_ADDRSTRLEN], port[8];

    if (wanted->sa.ss_family == AF_UNIX || getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ||
        getnameinfo((struct sockaddr *)&sa, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV)) {
        snprintf(ret_text, 128, "%s", text);
        return;
    }
    snprintf(ret_text, 128, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

int
address_listen(const char *text, int send_bytes, int receive_bytes, char ret_text[128], char *why,
               size_t why_size)
{
    struct address address;
    int fd, on = 1, err = address_parse(text, &address, why, why_size);

    if (err < 0)
        return err;
    fd = socket(address.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        snprintf(why, why_size, "%s: %s", text, strerror(errno));
        return -errno;
    }
    if (address.sa.ss_family == AF_UNIX) {
        unlink(((struct sockaddr_un *)&address.sa)->sun_path);
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* accepted sockets inherit these */
    }
    if (send_bytes)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes));
    if (receive_bytes)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    if (bind(fd, (struct sockaddr *)&address.sa, address.len) < 0 || listen(fd, 4096) < 0) {
        err = -errno;
        snprintf(why, why_size, "cannot listen on %s: %s", text, strerror(-err));
        close(fd);
        return err;
    }
    describe(fd, &address, text, ret_text);
    return fd;
}
