/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive doubly linked list. A head is a node that points to itself; an unlinked node holds NULLs, so
 * list_linked() tells and list_del() may be called on a node that is on no list.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *next, *prev;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

static inline void
list_init(struct list_node *head)
{
    head->next = head->prev = head;
}

static inline bool
list_empty(const struct list_node *head)
{
    return head->next == head;
}

static inline bool
list_linked(const struct list_node *node)
{
    return node->next != NULL;
}

static inline void
list_insert_between(struct list_node *node, struct list_node *prev, struct list_node *next)
{
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

/* At the tail: first in, first out with list_first(). */
static inline void
list_add_tail(struct list_node *head, struct list_node *node)
{
    list_insert_between(node, head->prev, head);
}

static inline void
list_add_head(struct list_node *head, struct list_node *node)
{
    list_insert_between(node, head, head->next);
}

static inline void
list_del(struct list_node *node)
{
    if (!node->next)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = NULL;
}

static inline struct list_node *
list_first(const struct list_node *head)
{
    return list_empty(head) ? NULL : head->next;
}

static inline struct list_node *
list_pop(struct list_node *head)
{
    struct list_node *node = list_first(head);

    if (node)
        list_del(node);
    return node;
}

/* Moves all of `from` to the empty head `to`. */
static inline void
list_take(struct list_node *to, struct list_node *from)
{
    if (list_empty(from)) {
        list_init(to);
        return;
    }
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

#define list_for_each(node, head) for (struct list_node *node = (head)->next; node != (head); node = node->next)
/* The current node may be removed in the body; no other may. */
#define list_for_each_safe(node, head)                                                                        \
    for (struct list_node *node = (head)->next, *node##_next = node->next; node != (head);                    \
         node = node##_next, node##_next = node->next)

#endif
