/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/format.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
writer_text(const struct writer *w, const char *text)
{
    w->put(w->ctx, text, strlen(text));
}

void
writer_printf(const struct writer *w, const char *format, ...)
{
    char line[1024];
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    if (n > 0)
        w->put(w->ctx, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static void
put_file(void *ctx, const char *bytes, size_t len)
{
    fwrite(bytes, 1, len, ctx);
}

struct writer
writer_of_file(void *file)
{
    return (struct writer){put_file, file};
}
