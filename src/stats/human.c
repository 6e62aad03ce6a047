/* SPDX-License-Identifier: Apache-2.0 */
#include "stats/human.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void
human_count(char out[HUMAN_MAX], uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    int at = 0;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
}

void
human_bytes(char out[HUMAN_MAX], double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    unsigned u = 0;

    for (; bytes >= 1023.95 && u < 5; u++)
        bytes /= 1024;
    snprintf(out, HUMAN_MAX, u == 0 ? "%.0f %s" : "%.1f %s", bytes, units[u]);
}

void
human_rate(char out[HUMAN_MAX], double per_second)
{
    if (per_second <= 0)
        snprintf(out, HUMAN_MAX, "0");
    else if (per_second < 9.995)
        snprintf(out, HUMAN_MAX, "%.2f", per_second);
    else if (per_second < 999.95)
        snprintf(out, HUMAN_MAX, "%.1f", per_second);
    else
        human_count(out, per_second < 1e18 ? (uint64_t)(per_second + 0.5) : (uint64_t)1e18);
}

void
human_ns(char out[HUMAN_MAX], double ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    unsigned u = 0;

    if (ns < 0) {
        snprintf(out, HUMAN_MAX, "-");
        return;
    }
    for (; ns >= 999.5 && u < 3; u++)
        ns /= 1000;
    snprintf(out, HUMAN_MAX,
             u == 0 || ns >= 99.95 ? "%.0f %s"
             : ns >= 9.995         ? "%.1f %s"
                                   : "%.2f %s",
             ns, units[u]);
}

void
human_age(char out[HUMAN_MAX], double seconds)
{
    unsigned long long s = seconds > 0 && seconds < 1e15 ? (unsigned long long)seconds : 0;

    if (s < 60)
        snprintf(out, HUMAN_MAX, "%.1fs", seconds > 0 ? seconds : 0.0);
    else if (s < 3600)
        snprintf(out, HUMAN_MAX, "%llum%02llus", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, HUMAN_MAX, "%lluh%02llum", s / 3600, s / 60 % 60);
    else
        snprintf(out, HUMAN_MAX, "%llud%02lluh", s / 86400, s / 3600 % 24);
}

void
human_date(char out[HUMAN_MAX], uint64_t real_ns)
{
    time_t t = (time_t)(real_ns / 1000000000u);
    struct tm tm;

    if (!localtime_r(&t, &tm) || strftime(out, HUMAN_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        strcpy(out, "?");
}
