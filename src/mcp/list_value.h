/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the list cache: how values are made. Each byte of them is counted in cache->bytes, and freed with
 * its last reader. */
#ifndef MCP_LIST_VALUE_H
#define MCP_LIST_VALUE_H

#include "mcp/list_cache.h"

/* Zeroed; never NULL. */
void *list_memory(size_t size);

void list_value_home_init(struct list_cache *cache);

/* An empty value with one reference. */
struct list_value *list_value_new(struct list_cache *cache);
/* Copies a page's entries. */
void list_value_add_page(struct list_value *value, const struct merge_page *page);
void list_value_set_body(struct list_value *value, struct text body);
/* Builds the merged list. */
void list_value_merge(struct list_value *value, struct merge_build *build, const struct list_part *parts,
                      unsigned count);

#endif
