/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of ring.h need from their surroundings: the near side is a ring, the far side is played by
 * the test. ring_contract_sim.c does it with the simulator's peers, ring_contract_real.c with loopback TCP.
 * One world per process.
 */
#ifndef RING_CONTRACT_H
#define RING_CONTRACT_H

#include "ring/ring.h"

struct far; /* the far end of a connection */

void world_open(const struct ring_config *config);
void world_close(void); /* frees the ring; every op has ended before */
struct ring *world_ring(void);

int world_listener(void); /* for ring_accept() */

enum world_place { PLACE_SERVED, PLACE_REFUSED, PLACE_SILENT };
socklen_t world_address(enum world_place place, struct sockaddr_storage *ret_addr);

struct far *far_connect(void);  /* to world_listener() */
struct far *far_accepted(void); /* the next one that came to PLACE_SERVED */
size_t far_send(struct far *far, const void *bytes, size_t count); /* as much as there is room for */
size_t far_read(struct far *far, void *ret_bytes, size_t size);    /* what is there */
bool far_eof(struct far *far);                                     /* FIN arrived, all bytes are read */
void far_half_close(struct far *far);
void far_close(struct far *far);
void far_reset(struct far *far);

int world_pollable(void);
void world_signal(int fd); /* makes it readable, once */

/* From now on no further descriptor can be opened, or it can again. */
void world_limit_descriptors(bool on);

#endif
