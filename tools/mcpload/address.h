/* SPDX-License-Identifier: Apache-2.0 */
/* Where to listen and connect: "127.0.0.1:8080", "[::1]:8080", "name:80", "unix:/path", and http URLs. */
#ifndef MCPLOAD_ADDRESS_H
#define MCPLOAD_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct address {
    struct sockaddr_storage sa;
    socklen_t len;
};

struct url {
    struct address address;
    char authority[256]; /* for the Host field */
    char path[2048];     /* "/mcp?x=1" */
};

/* 0, or -EINVAL with one line in why[]. Names are resolved (it waits for that). */
int address_parse(const char *text, struct address *ret, char *why, size_t why_size);
/* http://HOST[:PORT][/PATH], ws:// likewise, or http+unix:/socket:/PATH */
int url_parse(const char *text, struct url *ret, char *why, size_t why_size);

/* A listening descriptor, or a negated errno with one line in why[]; 0 as a buffer size leaves the system's.
 * ret_text[] gets the address with the chosen port. */
int address_listen(const char *text, int send_bytes, int receive_bytes, char ret_text[128], char *why,
                   size_t why_size);

#endif
