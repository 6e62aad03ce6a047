/* SPDX-License-Identifier: Apache-2.0 */
/* The access log: a line per exchange, in the ring of the slot (base/log.h). */
#ifndef GATE_ACCESS_LOG_H
#define GATE_ACCESS_LOG_H

#include "gate/exchange.h"

void access_log(const struct exchange *ex, enum close_reason reason);

/* `from` as it may stand in a log line, cut to size - 1 and with a NUL: blanks, quotes, backslashes and what
 * is not ASCII are '_'. */
void access_log_show(struct text from, char *out, size_t size);

#endif
