/* SPDX-License-Identifier: Apache-2.0 */
/* Questions and answers on a worker's channel to the resolve process: one struct a packet. */
#ifndef IPC_RESOLVE_H
#define IPC_RESOLVE_H

#include <stdint.h>

enum { RESOLVE_ADDRESSES_MAX = 8, RESOLVE_NAME_MAX = 255 };

struct resolve_question {
    uint32_t id;                      /* echoed */
    uint16_t port;
    char name[RESOLVE_NAME_MAX + 1];  /* NUL-terminated */
};

struct resolve_answer {
    uint32_t id;
    int32_t error;                    /* 0, or getaddrinfo's EAI_ code */
    uint32_t count;
    char text[64];                    /* gai_strerror of error */
    struct {
        uint8_t ip[16];               /* IPv4 as v4-mapped */
        uint16_t port;                /* host order */
        uint16_t is_v4;
    } addresses[RESOLVE_ADDRESSES_MAX];
};

#endif
