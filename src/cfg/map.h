/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration's sealed memfd, and the check of one that comes from elsewhere. Private to this layer. */
#ifndef CFG_MAP_H
#define CFG_MAP_H

#include "cfg/config.h"

/* A sealed memfd (CLOEXEC) with a copy of the configuration, or a negative errno. */
int cfg_seal(const struct config *c);

/* Whether `size` bytes at `c` are a configuration of which every text and array lies inside. */
bool cfg_is_whole(const struct config *c, size_t size);

#endif
