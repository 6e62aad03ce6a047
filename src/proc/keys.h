/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sealing keys. The file is text, a key a line, and may be shared by several gateways:
 *
 *     # comment
 *     previous 9f3a01c2 <64 hexadecimal digits>
 *     current  51b2c00d <64 hexadecimal digits>
 *     next     0c44e1aa <64 hexadecimal digits>
 *
 * The second word is the key's id (hexadecimal, not zero, each once), which a sealed token carries. `current` seals and
 * must be there; all of them open. To rotate on every gateway: make `next` known everywhere, then let it
 * become `current` and the old one `previous`, each followed by SIGHUP. A file that is absent is made with a
 * random `current` and `next`. A file that its group or others can read is refused.
 */
#ifndef PROC_KEYS_H
#define PROC_KEYS_H

#include "ipc/handover.h"

#include <stddef.h>

enum { KEY_PREVIOUS, KEY_CURRENT, KEY_NEXT };

/* Reads `path`, or makes it, and puts the keys into a sealed memfd (*ret_fd, CLOEXEC). 0, or a negated errno
 * and in why[] one line with the way out. */
int keys_open(const char *path, int *ret_fd, char *why, size_t why_size);

/* Parses the file's text. 0, or -EINVAL with the line at fault in *ret_line (0: there is no current key). */
int keys_parse(const char *text, size_t len, struct key_ring *ret_ring, unsigned *ret_line);

/* Child: maps what keys_open made, for good; left out of core dumps. NULL with errno set. */
const struct key_ring *keys_map(int fd);

#endif
