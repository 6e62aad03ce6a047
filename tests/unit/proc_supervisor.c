/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor's promises, on a gateway whose children are puppets (proc_fake_gateway.c). */
#include "proc_harness.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static struct gateway g;

Test(supervisor, starts_says_ready_and_ends_with_0_on_sigterm)
{
    char reply[64];

    gateway_up(&g, NULL);
    cr_assert_neq(g.port, 0);
    cr_assert(gateway_ask(g.port, "who *\n", reply, sizeof reply), "%s", g.said);
    cr_assert(gateway_ask(g.admin_port, "ready *\n", reply, sizeof reply));
    cr_assert_str_eq(reply, "ready");
    cr_assert(strstr(g.said, "(2 workers, admin http://127.0.0.1:"), "%s", g.said);
    gateway_down(&g);
}
