/* SPDX-License-Identifier: Apache-2.0 */
/* Build time: copies the manual's template from stdin to stdout and puts the tables of metrics in place of
 * the line
 * "@METRICS@", so that no metric is without a manual entry. */
#include "stats/families.h"

#include <stdio.h>
#include <string.h>

#define COUNTER   "counter"
#define GAUGE     "gauge"
#define HISTOGRAM "histogram"
#define NONE      ""
#define BYTES     ", bytes"
#define SECONDS   ", seconds"

static void
put_roff(const char *text)
{
    for (; *text; text++) {
        if (*text == '-' || *text == '\\')
            putchar('\\');
        putchar(*text == '\\' ? 'e' : *text);
    }
}

static void
put_metric(const char *name, const char *kind, const char *unit, const char *help)
{
    printf(".TP\n.B %s\n(%s%s) ", name, kind, unit);
    put_roff(help);
    putchar('\n');
}

static void
put_family(const struct family *family)
{
    static const char *const kinds[] = {COUNTER, GAUGE, HISTOGRAM}, *const units[] = {NONE, BYTES, SECONDS};

    printf(".TP\n.B %s\n(%s%s; labels %s%s%s) ", family->id, kinds[family->kind], units[family->unit],
           family->dim[0].label, family->dim[1].label[0] ? ", " : "", family->dim[1].label);
    put_roff(family->help);
    putchar('\n');
    for (int d = 0; d < 2 && family->dim[d].value; d++) {
        printf(".br\nValues of \\fI%s\\fR: ", family->dim[d].label);
        for (uint32_t i = 0; i < family->dim[d].count; i++) {
            put_roff(i ? ", " : "");
            put_roff(family->dim[d].value(i));
        }
        printf(".\n");
    }
}

static void
put_metrics(void)
{
    printf(".SS Of each process\n");
#define METRIC(KIND, id, UNIT, help) put_metric(#id, KIND, UNIT, help);
#include <mcpgate/metrics.def>
    printf(".SS With labels\n");
    for (uint32_t i = 0; i < family_count; i++)
        put_family(&families[i]);
    printf(".SS Of each upstream\n");
#define METRIC_UPSTREAM(KIND, id, UNIT, help) put_metric(#id, KIND, UNIT, help);
#include <mcpgate/metrics.def>
}

int
main(void)
{
    char line[4096];
    int found = 0;

    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "@METRICS@\n") == 0) {
            put_metrics();
            found++;
        } else {
            fputs(line, stdout);
        }
    }
    return found == 1 && fflush(stdout) == 0 ? 0 : 1;
}
