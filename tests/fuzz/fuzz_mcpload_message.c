/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes back to `mcpload ws`, and stamps in events. The first byte says of which form. What is read as a
 * message of ours names a class that there is, and is read the same again after it was stamped with what was
 * read.
 */
#include "base/check.h"
#include "mcpload/ws_message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_stamped(enum ws_form form, const struct ws_origin *origin)
{
    struct ws_message message = {0};
    struct ws_origin again;
    bool other;

    ws_message_build(form, origin->priority, 0, &message);
    ws_message_stamp(&message, origin->sent_ns, 7);
    ASSERT(ws_message_read(form, (struct text){message.text.at, (uint32_t)message.text.len}, &again,
                           &other) == ERROR_NONE);
    ASSERT(!other && again.sent_ns == origin->sent_ns && again.priority == origin->priority);
    bytes_done(&message.text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ws_origin origin;
    struct stamp stamp;
    enum error_kind error;
    bool other;
    char *copy;

    if (size < 1 || size > 8192)
        return 0;
    copy = malloc(size); /* a sanitizer sees what is read beyond it */
    ASSERT(copy);
    memcpy(copy, data + 1, size - 1);
    error = ws_message_read((enum ws_form)(data[0] & 1), (struct text){copy, (uint32_t)size - 1}, &origin,
                            &other);
    ASSERT((unsigned)error < ERROR_KINDS && (unsigned)origin.priority < PRIORITIES);
    ASSERT(!other || error == ERROR_NONE);
    if (error == ERROR_NONE && !other)
        check_stamped((enum ws_form)(data[0] & 1), &origin);
    if (stamp_read((struct text){copy, (uint32_t)size - 1}, &stamp))
        ASSERT(stamp.ns < 100000000000000000 && stamp.number < 10000000000);
    free(copy);
    return 0;
}
