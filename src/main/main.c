/* SPDX-License-Identifier: Apache-2.0 */
#include "gate/worker.h"
#include "main/demo.h"
#include "main/program.h"
#include "proc/resolve.h"
#include "proc/spawner.h"

int
main(int argc, char **argv)
{
    static const struct child_role roles[] = {
        {ROLE_WORKER, worker_main},
        {ROLE_ADMIN, admin_main},
        {ROLE_RESOLVE, resolve_main},
        {ROLE_SPAWN, spawner_main},
        {0, NULL},
    };

    if (demo_is(argc, argv))
        return demo_main(argc, argv);
    demo_take_word(&argc, &argv);
    return program_main(argc, argv, roles);
}
