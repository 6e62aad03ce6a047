/* SPDX-License-Identifier: Apache-2.0 */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void (*check_hook)(const char *text);

noreturn void
check_failed(const char *file, int line, const char *cond)
{
    char text[256];
    int n = snprintf(text, sizeof text, "check failed at %s:%d: %s", file, line, cond);

    if (check_hook) {
        check_hook(text);
    } else if (n > 0) {
        ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
        ignored = write(STDERR_FILENO, "\n", 1);
        (void)ignored;
    }
    abort();
}
