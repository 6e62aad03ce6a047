/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's sessions without requests: holds, records, and the end of what is open. */
#include "gate/session_impl.h"

#include "gate_world.h"

static const uint8_t nobody[MCP_TOKEN_PRINCIPAL_BYTES];

static struct session *
create(void)
{
    enum close_reason reason;
    struct session *s = session_create(world.worker, MCP_2025_11_25, 5, nobody, &reason);

    cr_assert(s);
    return s;
}

static struct session *
enter(const struct mcp_token *token, enum session_found want)
{
    struct session *s = NULL;

    cr_assert_eq(session_enter(world.worker, token, &s), want);
    return s;
}

static struct {
    unsigned cancelled, dropped, ended, unanswered;
} seen;

static void
on_cancel(struct session_call *call)
{
    list_del(&call->node);
    seen.cancelled++;
}

static void
on_bond_drop(struct session_bond *bond, bool ended)
{
    list_del(&bond->node);
    seen.dropped++;
    seen.ended += ended;
}

static void
on_ask_drop(struct session_ask *ask)
{
    list_del(&ask->node);
    seen.unanswered++;
}

TestSuite(sessions, .timeout = 60);

Test(sessions, a_record_stays_when_the_session_leaves_memory)
{
    world_open(1, NULL);
    struct session *s = create();
    struct mcp_token token = s->token;
    struct session_record r;

    cr_assert(session_record_get(s, &r));
    cr_assert_eq(r.client_capabilities, 5);
    r.log_level = 3;
    cr_assert(session_record_set_upstream(&r, 7, &(struct session_at_upstream){2, 9, TEXT("there")}));
    session_record_put(s, &r);
    session_release(s);
    s = enter(&token, SESSION_HERE);
    cr_assert(session_record_get(s, &r));
    cr_assert_eq(r.log_level, 3);
    session_release(s);
    world_close();
}

Test(sessions, bonds_keep_a_session_in_memory_and_holds_keep_its_record)
{
    world_open(1, NULL);
    struct session *s = create();
    struct mcp_token token = s->token;
    struct session_bond bond = {.upstream = 3, .drop = on_bond_drop};
    const struct session_writer other = {1, 1};
    struct session_table *table = world.worker->sessions->table;
    struct session_cell cell = s->cell;

    list_add_tail(&s->bonds, &bond.node);
    cr_assert_not(session_table_take(table, cell, token.id, other), "it is held");
    session_release(s);
    cr_assert_eq(enter(&token, SESSION_HERE), s);
    cr_assert_eq(session_find_bond(s, 3), &bond);
    cr_assert_null(session_find_bond(s, 4));
    session_hold(s);
    session_release(s);
    cr_assert_not(session_table_take(table, cell, token.id, other), "one hold is left");
    session_release(s);
    cr_assert(session_table_take(table, cell, token.id, other));
    session_table_set_alive(table, 1, 1);
    enter(&token, SESSION_ELSEWHERE);
    cr_assert_eq(seen.dropped, 1, "another process has it now");
    cr_assert_eq(seen.ended, 0, "and goes on with its upstream's session");
    world_close();
}

Test(sessions, a_delete_ends_all_that_is_open)
{
    world_open(1, NULL);
    struct session *s = create();
    struct mcp_token token = s->token;
    struct session_bond bond = {.drop = on_bond_drop};
    struct session_call calls[2] = {{.id = TEXT("1"), .cancel = on_cancel},
                                    {.id = TEXT("\"1\""), .cancel = on_cancel}};
    struct session_ask ask = {.id = session_mint_id(s), .drop = on_ask_drop};
    struct session_record r;

    list_add_tail(&s->bonds, &bond.node);
    list_add_tail(&s->calls, &calls[0].node);
    list_add_tail(&s->calls, &calls[1].node);
    list_add_tail(&s->asked, &ask.node);
    cr_assert_eq(session_find_call(s, TEXT("\"1\"")), &calls[1], "a string is not a number");
    cr_assert_eq(session_find_ask(s, ask.id), &ask);
    cr_assert_null(session_find_ask(s, ask.id + 1));
    session_delete(s);
    cr_assert_eq(seen.cancelled, 2);
    cr_assert_eq(seen.unanswered, 1);
    cr_assert_eq(seen.ended, 1);
    cr_assert_not(session_record_get(s, &r));
    session_record_put(s, &r);
    enter(&token, SESSION_OVER);
    session_delete(s);
    cr_assert_eq(counter(STAT_sessions_deleted), 1, "once");
    session_release(s);
    enter(&token, SESSION_OVER);
    cr_assert_eq(counter(STAT_sessions_live), 0);
    world_close();
}

Test(sessions, ids_of_our_requests_are_never_the_same_and_fit_a_double)
{
    world_open(1, NULL);
    struct session *a = create(), *b = create();
    uint64_t first = session_mint_id(a), second = session_mint_id(b);

    cr_assert_neq(first, second);
    cr_assert_lt(second, (uint64_t)1 << 53);
    session_release(a);
    session_release(b);
    world_close();
}

Test(sessions, a_lost_record_is_made_anew)
{
    world_open(1, NULL);
    struct session *s = create();
    struct mcp_token token = s->token;
    struct session_record r;

    session_release(s);
    cr_assert(session_table_evict(world.worker->sessions->table, 0, world.worker->sessions->me));
    s = enter(&token, SESSION_HERE);
    cr_assert_eq(counter(STAT_sessions_rebuilt), 1);
    cr_assert(session_record_get(s, &r));
    cr_assert_eq(r.revision, MCP_2025_11_25);
    session_release(s);
    world_close();
}

Test(sessions, the_worker_lets_its_bonds_go_when_it_drains)
{
    world_open(1, NULL);
    struct session *idle = create(), *busy = create();
    struct session_bond bonds[2] = {{.drop = on_bond_drop}, {.drop = on_bond_drop}};

    list_add_tail(&idle->bonds, &bonds[0].node);
    list_add_tail(&busy->bonds, &bonds[1].node);
    session_release(idle);
    worker_drain(world.worker, 100);
    cr_assert_eq(seen.dropped, 1);
    session_release(busy);
    cr_assert_eq(seen.dropped, 2);
    cr_assert_eq(seen.ended, 0);
    world_close();
}
